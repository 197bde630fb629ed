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
  DType dtype = DType::f32;
  std::shared_ptr<cuda::Queue> queue;  // on a GPU
  std::string description = "cpu";
  std::string notice;  // a notice for the user, or empty
};

// `device`: auto (a GPU if there is one), cpu or cuda; `precision`: auto (bf16 on a GPU, f32 on the CPU), f32 or bf16.
// The ranks of a host share its GPUs; each rank has its own if there are enough. Throws DeviceError if cuda was
// requested but is not available, UsageError for bf16 on the CPU.
DeviceChoice choose_device(const std::string& device, const std::string& precision, const LocalRanks& local);

// The communicator for ranks on such devices. `communication`: auto, nccl or mpi. Collective.
std::shared_ptr<Communicator> communicator_for(const DeviceChoice& device, const std::string& communication,
                                               std::shared_ptr<Communicator> world);

}  // namespace moe
