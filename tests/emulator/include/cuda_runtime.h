// Replaces the CUDA toolkit's header of this name in the emulated build. It has the subset that this project uses, with
// host memory as device memory. No toolkit is needed.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/emulator/emulator.h"

// ---- the language --------------------------------------------------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define threadIdx (::emulator::current->index)
#define blockIdx (::emulator::block_index)
#define blockDim (::emulator::block_size)
#define gridDim (::emulator::grid_size)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) {
  return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
inline int4 make_int4(int x, int y, int z, int w) {
  return {x, y, z, w};
}

// ---- threads -------------------------------------------------------------------------------------------------------
inline void __syncthreads() {
  emulator::barrier("__syncthreads");
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) {
  emulator::sync_warp(mask);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return emulator::shuffle(mask, value, source & 31, "__shfl_sync");
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return emulator::shuffle(mask, value, emulator::current->lane ^ bits, "__shfl_xor_sync");
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance) {
  const int lane = emulator::current->lane, source = lane - static_cast<int>(distance);
  return emulator::shuffle(mask, value, source < 0 ? lane : source, "__shfl_up_sync");
}
MOE_UNWATCHED inline unsigned __match_any_sync(unsigned mask, int value) {
  const uint64_t word = emulator::to_word(value);
  int set = 0;
  const emulator::Exchange& all = emulator::gather(mask, &word, 1, "__match_any_sync", set);
  unsigned equal = 0;
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1u && all.value[set][0][i] == word) equal |= 1u << i;
  }
  return equal;
}
template <class T>
MOE_UNWATCHED T atomicAdd(T* address, T value) {
  emulator::atomic_access(address, sizeof(T));
  const T before = *address;
  *address = before + value;
  return before;
}

// ---- arithmetic ----------------------------------------------------------------------------------------------------
inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline float __uint_as_float(unsigned x) {
  return emulator::from_word<float>(x);
}
inline unsigned __float_as_uint(float x) {
  return static_cast<unsigned>(emulator::to_word(x));
}
inline float rsqrtf(float x) {
  return 1.0f / std::sqrt(x);
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
using std::isfinite;
using std::isnan;
using std::max;
using std::min;

// ---- the runtime ---------------------------------------------------------------------------------------------------
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorInvalidDevice = 101
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
struct cudaDeviceProp {
  char name[64];
  int multiProcessorCount, major, minor;
  size_t sharedMemPerBlockOptin, totalGlobalMem;
  int l2CacheSize;
};
using cudaStream_t = struct EmulatedStream*;
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaMemAttachGlobal = 1;

const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaMallocManaged(void** memory, size_t bytes, unsigned flags);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
