#include "tests/emulator/memory.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>

#include "tests/emulator/watch.h"

namespace emulator {

// Ranks may be threads, each with its own memory.
static std::recursive_mutex mutex;
static std::map<uintptr_t, DeviceMemory> allocations;  // by base
static int accesses = 0;
std::atomic<uint64_t> memory_generation = 0;

// Memory that is not managed has an inaccessible page before and after it.
static constexpr size_t kPage = 4096;
static size_t mapped(size_t bytes) {
  return (bytes + kPage - 1) / kPage * kPage + 2 * kPage;
}

static void protect(const DeviceMemory& memory, bool accessible) {
  if (!memory.managed) mprotect(memory.base, memory.bytes, accessible ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void* allocate_device_memory(size_t bytes, bool managed) {
  const std::lock_guard lock(mutex);
  void* base = nullptr;
  if (managed) {
    base = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  } else {
    void* pages = mmap(nullptr, mapped(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages != MAP_FAILED) base = static_cast<char*>(pages) + kPage;
    if (base && accesses > 0) mprotect(base, bytes, PROT_READ | PROT_WRITE);
    // With AddressSanitizer, also what is past the end in the last page.
    if (base) ASAN_POISON_MEMORY_REGION(static_cast<char*>(base) + bytes, mapped(bytes) - 2 * kPage - bytes);
  }
  if (base) {
    ++memory_generation;
    allocations[reinterpret_cast<uintptr_t>(base)] = {static_cast<char*>(base), bytes, managed,
                                                      watch::new_record(bytes)};
  }
  return base;
}

void release_device_memory(void* memory) {
  const std::lock_guard lock(mutex);
  const auto found = allocations.find(reinterpret_cast<uintptr_t>(memory));
  if (found == allocations.end()) return;
  const DeviceMemory released = found->second;
  allocations.erase(found);
  ++memory_generation;
  watch::delete_record(released.record);
  if (released.managed) {
    std::free(memory);
  } else {
    ASAN_UNPOISON_MEMORY_REGION(released.base, mapped(released.bytes) - 2 * kPage);
    munmap(released.base - kPage, mapped(released.bytes));
  }
}

const DeviceMemory* device_memory_at(const void* address) {
  const std::lock_guard lock(mutex);
  auto next = allocations.upper_bound(reinterpret_cast<uintptr_t>(address));
  if (next == allocations.begin()) return nullptr;
  const DeviceMemory& memory = (--next)->second;
  return reinterpret_cast<uintptr_t>(address) - next->first < memory.bytes ? &memory : nullptr;
}

bool on_device(const void* address, size_t bytes) {
  if (bytes == 0) return true;
  const DeviceMemory* memory = device_memory_at(address);
  return memory && bytes <= memory->bytes - static_cast<size_t>(static_cast<const char*>(address) - memory->base);
}

DeviceAccess::DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (accesses++ > 0) return;
  for (const auto& [base, memory] : allocations) protect(memory, true);
}

CopyAccess::CopyAccess(const void* to, const void* from) {
  mutex.lock();
  to_ = device_memory_at(to);
  from_ = device_memory_at(from);
  if (accesses > 0) return;
  if (to_) protect(*to_, true);
  if (from_) protect(*from_, true);
}

CopyAccess::~CopyAccess() {
  if (accesses == 0) {
    if (to_) protect(*to_, false);
    if (from_) protect(*from_, false);
  }
  mutex.unlock();
}

DeviceAccess::~DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (--accesses > 0) return;
  for (const auto& [base, memory] : allocations) protect(memory, false);
}

}  // namespace emulator
