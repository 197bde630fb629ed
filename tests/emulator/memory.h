// Memory of the emulated device. The host faults when it touches what cudaMalloc gave, as it does on a machine with a
// GPU: pages are accessible while kernels, copies and products run, and at no other time.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace emulator {

namespace watch {
struct Record;
}

struct DeviceMemory {
  char* base;
  size_t bytes;
  bool managed;  // of the host too
  watch::Record* record;
};

void* allocate_device_memory(size_t bytes, bool managed);  // null when there is none
void release_device_memory(void* memory);
// The allocation that `address` lies in, or null.
const DeviceMemory* device_memory_at(const void* address);
extern std::atomic<uint64_t> memory_generation;  // changes with every allocation and release
// Whether the device may reach all these bytes.
bool on_device(const void* address, size_t bytes);

// While one of these lives, device memory may be touched.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

}  // namespace emulator
