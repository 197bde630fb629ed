#include "core/tensor/device.h"
#include "cuda/device/check.h"
#include "cuda/device/queue.h"

namespace moe::cuda {

MemoryInfo memory_info() {
  MemoryInfo info;
  CUDA_CHECK(cudaMemGetInfo(&info.free_bytes, &info.total_bytes));
  return info;
}

void* allocate(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t status = cudaMalloc(&memory, bytes);
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, which the next launch would report otherwise
    return nullptr;
  }
  CUDA_CHECK(status);
  return memory;
}

void* allocate_managed(size_t bytes) {
  void* memory = nullptr;
  CUDA_CHECK(cudaMallocManaged(&memory, bytes, cudaMemAttachGlobal));
  return memory;
}

void release(void* memory) noexcept {
  if (memory) cudaFree(memory);
}

static constexpr cudaMemcpyKind kKinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice};

void copy_now(void* to, const void* from, size_t bytes, Direction direction) {
  CUDA_CHECK(cudaDeviceSynchronize());
  CUDA_CHECK(cudaMemcpy(to, from, bytes, kKinds[static_cast<int>(direction)]));
  // From pageable memory the call returns once the source has been staged, and queues do not synchronise with its
  // stream.
  if (direction == Direction::to_device) CUDA_CHECK(cudaDeviceSynchronize());
}

void copy_bytes(Queue& queue, void* to, const void* from, size_t bytes, Direction direction) {
  // From pageable memory the call returns once the source has been staged.
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, kKinds[static_cast<int>(direction)], queue.stream()));
  if (direction == Direction::to_host) synchronise(queue);
}

}  // namespace moe::cuda
