// An owning wrapper of a CUDA stream.
#pragma once
#include <utility>

#include "cuda/device/check.h"

namespace moe::cuda {

class Stream {
 public:
  // Non-blocking: does not synchronise with the legacy default stream.
  Stream() { CUDA_CHECK(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking)); }
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&&) = delete;
  ~Stream() {
    if (handle_) cudaStreamDestroy(handle_);
  }
  cudaStream_t get() const { return handle_; }
  void synchronise() const { CUDA_CHECK(cudaStreamSynchronize(handle_)); }

 private:
  cudaStream_t handle_ = nullptr;
};

}  // namespace moe::cuda
