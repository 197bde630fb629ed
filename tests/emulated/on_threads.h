// Runs a body as the threads of one emulated block.
#pragma once
#include <cuda_runtime.h>

#include <exception>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "cuda/kernel/ptx_sm90.cuh"
#include "tests/support/catch.h"

namespace moe::test {

inline void on_threads(unsigned threads, size_t shared_bytes, const std::function<void()>& body) {
  emulator::run({1, 1, 1}, {threads, 1, 1}, shared_bytes, body);
}

// Values in memory that both host and device can access.
template <class T>
struct ManagedAllocator {
  using value_type = T;
  ManagedAllocator() = default;
  template <class Other>
  ManagedAllocator(const ManagedAllocator<Other>&) {}
  T* allocate(size_t n) {
    void* memory = nullptr;
    if (cudaMallocManaged(&memory, n * sizeof(T), cudaMemAttachGlobal) != cudaSuccess) throw std::bad_alloc();
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, size_t) { cudaFree(memory); }
  bool operator==(const ManagedAllocator&) const { return true; }
};
template <class T>
using ManagedVector = std::vector<T, ManagedAllocator<T>>;

// The emulator's error message, or an empty string.
inline std::string complaint_of(unsigned threads, size_t shared_bytes, const std::function<void()>& body) {
  try {
    on_threads(threads, shared_bytes, body);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool says(const std::string& complaint, const std::string& what) {
  INFO(complaint);
  const bool found = complaint.find(what) != std::string::npos;
  CHECK(found);
  return found;
}

inline int thread_index() {
  return static_cast<int>(threadIdx.x);
}

inline void wait(uint64_t& barrier, uint32_t parity) {
  while (!cuda::mbarrier_try_wait_parity(barrier, parity)) {
  }
}

}  // namespace moe::test
