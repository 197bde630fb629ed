// Which device a run computes on, and in which precision.
#pragma once
#include <memory>
#include <string>

#include "comm/mpi_session.h"
#include "core/config/train_config.h"
#include "core/tensor/device.h"

namespace moe {

struct DeviceChoice {
  Device device = Device::cpu;
  int index = 0;  // among the host's GPUs
  DType dtype = DType::f32;
  std::shared_ptr<cuda::Queue> queue;  // on a GPU
  std::string description = "cpu";
  std::string notice;  // something that the user should know, or empty
};

// `device`: auto (a GPU if there is one), cpu or cuda; `precision`: auto (bf16 on a GPU, f32 on the CPU), f32 or bf16.
// A host's ranks share its GPUs, one each where there are enough. Throws DeviceError when cuda was asked for and cannot
// be had, UsageError for bf16 on the CPU.
DeviceChoice choose_device(const std::string& device, const std::string& precision, const LocalRanks& local);

// What ranks on such devices talk through; `communication`: auto, nccl or mpi. Collective.
std::shared_ptr<Communicator> communicator_for(const DeviceChoice& device, const std::string& communication,
                                               std::shared_ptr<Communicator> world);

}  // namespace moe
