// What the CPU's code needs from a GPU: memory, copies and a queue of work. The implementation is in cuda/device, or in
// cuda/absent where the build has no CUDA; no CUDA header is reached from here.
#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "core/tensor/context.h"

namespace moe::cuda {

// Whether this build has the kernels.
bool built();
// Devices that this process can use: 0 without CUDA in the build, without a driver or without a device.
int device_count();
// Why there is none: for messages.
std::string why_no_device();
// Name, memory and compute capability of a device.
std::string describe_device(int index);

// A queue of work on device `index`, which becomes this thread's device. Throws DeviceError without such a device.
std::shared_ptr<Queue> make_queue(int index);
// Waits until all work of the queue is done. Throws DeviceError when some of it failed.
void synchronise(Queue& queue);

struct MemoryInfo {
  size_t free_bytes = 0, total_bytes = 0;
};
MemoryInfo memory_info();

// Device memory at a 256-byte boundary; null when the device has not that much.
void* allocate(size_t bytes);
// Memory that host and device can both touch. For tests: slow where both do.
void* allocate_managed(size_t bytes);
void release(void* memory) noexcept;

enum class Direction { to_device, to_host, on_device };
// In the queue's order. `to_host` returns when the bytes are there; `to_device` when the source may be changed.
void copy_bytes(Queue& queue, void* to, const void* from, size_t bytes, Direction direction);

// The same without a queue: waits for everything on the device. For checkpoints and tests.
void copy_now(void* to, const void* from, size_t bytes, Direction direction);

}  // namespace moe::cuda
