#include "cuda/device/device_info.h"

#include "core/base/units.h"
#include "core/tensor/device.h"
#include "cuda/device/architectures.h"
#include "cuda/device/check.h"

namespace moe::cuda {

bool built() {
  return true;
}

std::string build_description() {
  return "yes (" + describe_architectures(built_architectures()) + ")";
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
  int driver = 0, runtime = 0;  // 1000 times the major version plus 10 times the minor one; 0 without a driver
  if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0 &&
      cudaRuntimeGetVersion(&runtime) == cudaSuccess) {
    return fmt::format(
        "the GPU's driver supports CUDA up to {}.{}, and this program was built with {}.{}: install a driver for CUDA "
        "{}.0 or newer, or build the program with a CUDA toolkit that the driver supports",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10, runtime / 1000);
  }
  return fmt::format("this machine has no CUDA device or driver (CUDA: {})", cudaGetErrorString(status));
}

DeviceInfo device_info(int index) {
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
  return {.name = properties.name,
          .multiprocessors = properties.multiProcessorCount,
          .capability = properties.major * 10 + properties.minor,
          .shared_bytes_per_block = properties.sharedMemPerBlockOptin,
          .total_bytes = properties.totalGlobalMem,
          .l2_bytes = static_cast<size_t>(properties.l2CacheSize)};
}

std::string describe_device(int index) {
  const DeviceInfo info = device_info(index);
  return fmt::format("{}, {}, {} multiprocessors, compute capability {}", info.name,
                     format_bytes(static_cast<double>(info.total_bytes)), info.multiprocessors,
                     capability_name(info.capability));
}

static constexpr int kOldest = 80;  // mma.sync of bf16 and cp.async

std::string why_unusable(int index) {
  const DeviceInfo info = device_info(index);
  const std::string device = fmt::format("{} has compute capability {}", info.name, capability_name(info.capability));
  if (info.capability < kOldest)
    return fmt::format("{}; the kernels need {} or newer (A100, RTX 30 and later)", device, capability_name(kOldest));
  if (runs_on(built_architectures(), info.capability)) return "";
  return fmt::format("{}; this build has {}: build it with -DCMAKE_CUDA_ARCHITECTURES={}", device,
                     describe_architectures(built_architectures()),
                     info.capability == 90 ? "90a-real" : std::to_string(info.capability));
}

}  // namespace moe::cuda
