// Memory of the emulated device. The host faults when it accesses memory from cudaMalloc, as on a machine with a GPU:
// pages are accessible only while kernels, copies and products run.
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
  bool managed;  // accessible to the host too
  watch::Record* record;
};

void* allocate_device_memory(size_t bytes, bool managed);  // null when there is not enough
void release_device_memory(void* memory);
// The allocation that contains `address`, or null.
const DeviceMemory* device_memory_at(const void* address);
extern std::atomic<uint64_t> memory_generation;  // changes with every allocation and release
// Whether the device may access all these bytes.
bool on_device(const void* address, size_t bytes);

// Device memory is accessible while an object of this class exists.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

// Device memory of these allocations alone is accessible while an object of this class exists; other threads wait. For
// copies, which tests make in great numbers.
class CopyAccess {
 public:
  CopyAccess(const void* to, const void* from);
  ~CopyAccess();
  CopyAccess(const CopyAccess&) = delete;

 private:
  const DeviceMemory *to_, *from_;  // null where the memory is the host's
};

}  // namespace emulator
