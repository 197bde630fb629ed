// The CUDA runtime and cuBLAS of the emulated build: one device whose memory is host memory and which executes
// everything at once. It has few multiprocessors, so that persistent kernels loop over several tiles.
// MOE_EMULATOR_CAPABILITY in the environment is its compute capability, 80 by default: 90 makes it a Hopper, 86 a
// device with little shared memory. MOE_EMULATOR_DRIVER is the CUDA version that its driver supports, 13000 by default.
#include <cuda_runtime.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/check.h"
#include "cuda/device/architectures.h"
#include "cuda/device/cublas.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/waits.h"

static constexpr size_t kDeviceBytes = size_t{4} << 30;

int64_t emulator::waits = 0;

const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorInvalidValue) return "memory that is not the device's";
  return error == cudaErrorMemoryAllocation ? "out of memory" : "an error of the emulated runtime";
}
const char* cudaGetErrorName(cudaError_t error) {
  if (error == cudaErrorInvalidValue) return "cudaErrorInvalidValue";
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorInvalidDevice";
}
cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  const char* text = std::getenv("MOE_EMULATOR_DRIVER");
  *version = text ? std::atoi(text) : 13000;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  *count = driver < runtime ? 0 : 1;
  return driver < runtime ? cudaErrorInsufficientDriver : cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device == 0 ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  const char* text = std::getenv("MOE_EMULATOR_CAPABILITY");
  const int capability = text ? std::atoi(text) : 80;
  const size_t shared_kilobytes = capability == 90 ? 227 : capability == 80 ? 163 : 99;
  // The L2 cache is small, so that ops which divide their work by it do so in tests.
  *properties = {"emulated device", 3,       capability / 10, capability % 10, shared_kilobytes << 10,
                 kDeviceBytes,      64 << 10};
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  *free_bytes = *total_bytes = kDeviceBytes;
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = bytes <= kDeviceBytes ? emulator::allocate_device_memory(bytes, false) : nullptr;
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaMallocManaged(void** memory, size_t bytes, unsigned) {
  *memory = bytes <= kDeviceBytes ? emulator::allocate_device_memory(bytes, true) : nullptr;
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  emulator::release_device_memory(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if ((kind != cudaMemcpyHostToDevice && !emulator::on_device(from, bytes)) ||
      (kind != cudaMemcpyDeviceToHost && !emulator::on_device(to, bytes))) {
    return cudaErrorInvalidValue;
  }
  const emulator::CopyAccess access(to, from);
  std::memcpy(to, from, bytes);
  emulator::watch::host_wrote(to, bytes);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  ++emulator::waits;
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  if (!emulator::on_device(memory, bytes)) return cudaErrorInvalidValue;
  const emulator::CopyAccess access(memory, nullptr);
  std::memset(memory, value, bytes);
  emulator::watch::host_wrote(memory, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++emulator::waits;
  return cudaSuccess;
}

namespace moe::cuda {

std::string built_architectures() {
  return "80;90a-real";
}

class Blas {};

std::shared_ptr<Blas> make_blas(cudaStream_t) {
  return std::make_shared<Blas>();
}

static float get(const void* matrix, DType type, int64_t i) {
  return type == DType::bf16 ? to_float(static_cast<const BFloat16*>(matrix)[i]) : static_cast<const float*>(matrix)[i];
}

void multiply(Blas&, const BlasProduct& p) {
  const emulator::DeviceAccess access;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      float sum = p.accumulate ? get(p.c, p.type_c, i * p.ldc + j) : 0;
      for (int64_t k = 0; k < p.k; ++k) {
        sum += get(p.a, p.type, p.transpose_a ? k * p.lda + i : i * p.lda + k) *
               get(p.b, p.type, p.transpose_b ? j * p.ldb + k : k * p.ldb + j);
      }
      if (p.type_c == DType::bf16)
        static_cast<BFloat16*>(p.c)[i * p.ldc + j] = to_bfloat16(sum);
      else
        static_cast<float*>(p.c)[i * p.ldc + j] = sum;
    }
    const size_t size = size_of(p.type_c);
    emulator::watch::host_wrote(static_cast<char*>(p.c) + static_cast<size_t>(i * p.ldc) * size,
                                static_cast<size_t>(p.n) * size);
  }
}

}  // namespace moe::cuda
