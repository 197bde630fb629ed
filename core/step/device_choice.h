// Chooses the device and the precision of a run.
#pragma once
#include <memory>
#include <string>

#include "comm/mpi_session.h"
#include "core/config/train_config.h"
#include "core/tensor/device.h"

namespace moe {

struct DeviceChoice {
  Device device = Device::cpu;
  int index = 0;  // index among the host's GPUs
  Precision precision{};
  std::shared_ptr<cuda::Queue> queue;  // on a GPU
  std::string description = "cpu";
  std::string notice;  // a notice for the user, or empty
};

// `precision`: auto (bf16 on a GPU, f32 on the CPU), f32 or bf16, which on the CPU means storage in f32 and products of
// operands rounded to bf16.
Precision choose_precision(const std::string& precision, Device device);

// `device`: auto (a GPU if there is one), cpu or cuda; `precision` as above. The ranks of a host share its GPUs; each
// rank has its own if there are enough. Throws DeviceError if cuda was requested but is not available, UsageError when
// MOE_CPU_ISA names an instruction set that is not there.
DeviceChoice choose_device(const std::string& device, const std::string& precision, const LocalRanks& local);

// How it is computed, for the user: "bf16" on a GPU; on the CPU with its instruction set: "f32, avx512".
std::string computed_in(Device device, Precision precision);
// For the user: what would be faster on this processor than the precision that was chosen; or empty.
std::string faster_precision(Device device, Precision precision);

// The communicator for ranks on such devices. `communication`: auto, nccl or mpi. Collective.
std::shared_ptr<Communicator> communicator_for(const DeviceChoice& device, const std::string& communication,
                                               std::shared_ptr<Communicator> world);

}  // namespace moe
