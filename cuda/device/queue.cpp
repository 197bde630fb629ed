#include "cuda/device/queue.h"

#include <atomic>
#include <cstdlib>

namespace moe::cuda {

static std::atomic<uint64_t> submitted{0};

uint64_t submissions() {
  return submitted.load(std::memory_order_relaxed);
}

cudaStream_t Queue::stream() const {
  submitted.fetch_add(1, std::memory_order_relaxed);
  return stream_.get();
}

Blas& Queue::blas() {
  submitted.fetch_add(1, std::memory_order_relaxed);
  return *blas_;
}

static DeviceInfo select(int device) {
  const int count = device_count();
  if (count == 0) throw DeviceError(why_no_device());
  if (device >= count) raise<DeviceError>("device {} does not exist; there are {}", device, count);
  if (const std::string reason = why_unusable(device); !reason.empty()) throw DeviceError(reason);
  CUDA_CHECK(cudaSetDevice(device));
  return device_info(device);
}

Queue::Queue(int device)
    : info_(select(device)),
      hopper_(info_.capability == 90 && !std::getenv("MOE_FORCE_SM80")),
      blas_(make_blas(stream_.get())) {}

std::shared_ptr<Queue> make_queue(int index) {
  return std::make_shared<Queue>(index);
}

void synchronise(Queue& queue) {
  CUDA_CHECK(cudaStreamSynchronize(queue.stream()));
}

}  // namespace moe::cuda
