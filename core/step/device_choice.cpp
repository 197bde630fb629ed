#include "core/step/device_choice.h"

#include "comm/nccl.h"
#include "comm/staged_communicator.h"
#include "core/ops/cpu_kernels.h"

namespace moe {

Precision choose_precision(const std::string& precision, Device device) {
  const bool on_gpu = device == Device::cuda;
  if (precision == "f32" || (precision == "auto" && !on_gpu)) return {};
  return on_gpu ? Precision{.storage = DType::bf16} : Precision{.products = Products::bf16};
}

DeviceChoice choose_device(const std::string& device, const std::string& precision, const LocalRanks& local) {
  DeviceChoice choice;
  const int count = device == "cpu" ? 0 : cuda::device_count();
  if (device == "cuda" && count == 0) {
    raise<DeviceError>("device: cuda: {}; set device: auto or cpu to compute on the CPU", cuda::why_no_device());
  }
  choice.index = count > 0 ? local.rank % count : 0;
  const std::string problem = count > 0 ? cuda::why_unusable(choice.index) : "";
  if (!problem.empty() && device == "cuda") raise<DeviceError>("device: cuda: {}", problem);
  if (!problem.empty()) {
    choice.notice = fmt::format("{}: computing on the CPU", problem);
  } else if (count > 0) {
    choice.device = Device::cuda;
    choice.description = cuda::describe_device(choice.index);
    choice.queue = cuda::make_queue(choice.index);
    if (local.size > count) {
      choice.notice = fmt::format("{} ranks share {} GPU{} on this host", local.size, count, count == 1 ? "" : "s");
    }
  } else if (device == "auto" && cuda::built()) {
    choice.notice = fmt::format("{}: computing on the CPU", cuda::why_no_device());
  }
  choice.precision = choose_precision(precision, choice.device);
  if (choice.device == Device::cpu) cpu::kernel_table();  // refuses a wrong MOE_CPU_ISA now
  return choice;
}

std::string computed_in(Device device, Precision precision) {
  if (device == Device::cuda) return name_of(precision);
  return fmt::format("{}, {}", name_of(precision), name_of(instruction_set()));
}

std::string faster_precision(Device device, Precision precision) {
  if (device != Device::cpu || precision.products == Products::bf16 || instruction_set() != InstructionSet::amx)
    return "";
  return "this CPU has AMX: precision: bf16 would be about twice as fast";
}

std::shared_ptr<Communicator> communicator_for(const DeviceChoice& device, const std::string& communication,
                                               std::shared_ptr<Communicator> world) {
  if (device.device == Device::cpu || world->size() == 1) return world;
  if (communication == "nccl" ||
      (communication == "auto" && cuda::nccl_built() && !cuda::ranks_share_a_gpu(*world, device.index))) {
    return cuda::make_nccl_communicator(std::move(world), device.queue, device.index);
  }
  return std::make_shared<StagedCommunicator>(std::move(world));
}

}  // namespace moe
