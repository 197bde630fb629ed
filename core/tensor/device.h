// The interface of host code to a GPU: memory, copies and a work queue. The implementation is in cuda/device, or in
// cuda/absent for builds without CUDA. This header includes no CUDA header.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/tensor/context.h"

namespace moe::cuda {

// Whether this build contains the kernels.
bool built();
// For --build-info: "no", or "yes" and the devices that the kernels are compiled for.
std::string build_description();
// Number of devices that this process can use: 0 without CUDA in the build, without a driver or without a device.
int device_count();
// The reason why there is no device, for messages.
std::string why_no_device();
// Name, memory and compute capability of a device.
std::string describe_device(int index);

// Empty when this build's kernels run on the device; otherwise the reason, and what is needed.
std::string why_unusable(int index);

// Creates a work queue on device `index`, which becomes this thread's device. Throws DeviceError if there is no such
// device, or it is not usable.
std::shared_ptr<Queue> make_queue(int index);
// Waits until all work in the queue is done. Throws DeviceError if any of it failed.
void synchronise(Queue& queue);

// The number of times that work was queued in this process, on any queue, or more: if it has not changed, no op has run
// on a device. For tests, which keep copies of device memory.
uint64_t submissions();

struct MemoryInfo {
  size_t free_bytes = 0, total_bytes = 0;
};
MemoryInfo memory_info();

// Device memory at a 256-byte boundary; null if the device does not have enough.
void* allocate(size_t bytes);
// Memory that host and device can both access. For tests: slow if both access it.
void* allocate_managed(size_t bytes);
void release(void* memory) noexcept;

enum class Direction { to_device, to_host, on_device };
// Copies in the queue's order. `to_host` returns when the bytes have arrived; `to_device` when the source may be
// changed.
void copy_bytes(Queue& queue, void* to, const void* from, size_t bytes, Direction direction);

// Copies without a queue: waits for all work on the device. For checkpoints and tests.
void copy_now(void* to, const void* from, size_t bytes, Direction direction);

}  // namespace moe::cuda
