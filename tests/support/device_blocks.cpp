#include "tests/support/device_blocks.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/base/check.h"
#include "core/tensor/device.h"

namespace moe::test {

namespace {

struct Block {
  std::vector<std::byte> host;
  uint64_t fetched;  // cuda::submissions() when `host` was current
};

// A block as a thread last found it. Valid while `epoch` is current.
struct Found {
  const std::byte *begin = nullptr, *end = nullptr, *host = nullptr;
  uint64_t epoch = 0;
};

std::mutex mutex;
std::map<uintptr_t, Block> blocks;       // by address
std::atomic<uint64_t> block_changes{1};  // allocations and releases

// Changes whenever a thread has to look again.
uint64_t epoch() {
  return block_changes.load(std::memory_order_relaxed) + cuda::submissions();
}

std::map<uintptr_t, Block>::iterator block_at(const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto next = blocks.upper_bound(at);
  MOE_CHECK(next != blocks.begin(), "not a test's device memory");
  --next;
  MOE_CHECK(at - next->first < next->second.host.size(), "not a test's device memory");
  return next;
}

}  // namespace

std::byte* allocate_on_device(const std::byte* initial, size_t bytes) {
  auto* memory = static_cast<std::byte*>(cuda::allocate(bytes));
  MOE_CHECK(memory, "no device memory for {} bytes of a test", bytes);
  cuda::copy_now(memory, initial, bytes, cuda::Direction::to_device);
  const std::lock_guard lock(mutex);
  blocks[reinterpret_cast<uintptr_t>(memory)] = {{initial, initial + bytes}, cuda::submissions()};
  ++block_changes;
  return memory;
}

void release_on_device(std::byte* memory) {
  const std::lock_guard lock(mutex);
  blocks.erase(reinterpret_cast<uintptr_t>(memory));
  ++block_changes;
  cuda::release(memory);
}

const std::byte* read_from_device(const void* address) {
  thread_local std::array<Found, 8> recent;  // a test's loops read several tensors in turn
  thread_local size_t oldest = 0;
  const auto* at = static_cast<const std::byte*>(address);
  const uint64_t now = epoch();
  for (const Found& found : recent) {
    if (found.epoch == now && at >= found.begin && at < found.end) return found.host + (at - found.begin);
  }
  const std::lock_guard lock(mutex);
  const auto found = block_at(address);
  auto* begin = reinterpret_cast<std::byte*>(found->first);
  Block& block = found->second;
  if (block.fetched != cuda::submissions()) {
    cuda::copy_now(block.host.data(), begin, block.host.size(), cuda::Direction::to_host);
    block.fetched = cuda::submissions();
  }
  recent[oldest] = {begin, begin + block.host.size(), block.host.data(), now};
  oldest = (oldest + 1) % recent.size();
  return block.host.data() + (at - begin);
}

void write_to_device(void* address, const void* from, size_t bytes) {
  cuda::copy_now(address, from, bytes, cuda::Direction::to_device);
  const std::lock_guard lock(mutex);
  const auto found = block_at(address);
  std::memcpy(found->second.host.data() + (reinterpret_cast<uintptr_t>(address) - found->first), from, bytes);
}

}  // namespace moe::test
