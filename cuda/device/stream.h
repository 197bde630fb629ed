// Owning wrappers of a CUDA stream and a CUDA event.
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

// A point in a stream's work.
class Event {
 public:
  Event() { CUDA_CHECK(cudaEventCreate(&handle_)); }
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  ~Event() {
    if (handle_) cudaEventDestroy(handle_);
  }
  void record(const Stream& stream) { CUDA_CHECK(cudaEventRecord(handle_, stream.get())); }
  void synchronise() const { CUDA_CHECK(cudaEventSynchronize(handle_)); }
  // Makes `stream` wait until this point has been reached.
  void make_wait(const Stream& stream) const { CUDA_CHECK(cudaStreamWaitEvent(stream.get(), handle_, 0)); }
  // Both events must have been recorded and reached.
  double milliseconds_since(const Event& earlier) const {
    float milliseconds = 0;
    CUDA_CHECK(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_));
    return static_cast<double>(milliseconds);
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace moe::cuda
