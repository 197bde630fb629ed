// Device memory of tests, which the host reads and writes through copies. It comes from cudaMalloc, as in a training:
// copies by TMA and large tests must not depend on how managed memory moves.
#pragma once
#include <cstddef>

namespace moe::test {

// Device memory of `bytes` bytes, filled with a copy of `initial`.
std::byte* allocate_on_device(const std::byte* initial, size_t bytes);
void release_on_device(std::byte* memory);

// The host's copy of what is at `address`, which lies in memory from allocate_on_device: up to the end of that block,
// as of now. Waits for all ops that have been queued, if any has been since the last copy. The pointer stays
// valid until the release; a later call may renew what it points to. Threads may read at the same time.
const std::byte* read_from_device(const void* address);
// Writes to the device, after all ops that have been queued.
void write_to_device(void* address, const void* from, size_t bytes);

}  // namespace moe::test
