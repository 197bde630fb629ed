#include "cuda/device/device_info.h"

#include "core/base/units.h"
#include "core/tensor/device.h"
#include "cuda/device/check.h"

namespace moe::cuda {

bool built() {
  return true;
}

// Without a driver the call fails and leaves -1 in `count`, so any error means that there is no device.
int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0 ? count : 0;
}

std::string why_no_device() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess) return count > 0 ? "" : "this machine has no CUDA device";
  return fmt::format("this machine has no CUDA device or driver (CUDA: {})", cudaGetErrorString(status));
}

DeviceInfo device_info(int index) {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  return {.name = properties.name,
          .multiprocessors = properties.multiProcessorCount,
          .capability = properties.major * 10 + properties.minor,
          .shared_bytes_per_block = properties.sharedMemPerBlockOptin,
          .total_bytes = properties.totalGlobalMem};
}

std::string describe_device(int index) {
  const DeviceInfo info = device_info(index);
  return fmt::format("{}, {}, {} multiprocessors, compute capability {}.{}", info.name,
                     format_bytes(static_cast<double>(info.total_bytes)), info.multiprocessors, info.capability / 10,
                     info.capability % 10);
}

}  // namespace moe::cuda
