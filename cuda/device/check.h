// Checks every call of the CUDA runtime: CUDA_CHECK(cudaMalloc(...)) throws DeviceError with the call, its file and
// line, and CUDA's message.
#pragma once
#include <cuda_runtime.h>

#include "core/base/check.h"

#define CUDA_CHECK(call) ::moe::cuda::check_cuda((call), #call, __FILE__, __LINE__)

namespace moe::cuda {

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) return;
  raise<DeviceError>("CUDA: {} failed: {} ({}) [{}:{}]", call, cudaGetErrorString(status), cudaGetErrorName(status),
                     file, line);
}

}  // namespace moe::cuda
