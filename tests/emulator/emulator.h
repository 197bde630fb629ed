// Runs CUDA kernels on the CPU, one block at a time: every CUDA thread is a fiber, and a block is a scheduler of
// fibers. Errors that a GPU hides are reported: a warp operation that a lane of its mask never reaches, a barrier that
// some thread never reaches, a read of shared memory that was never written (it is initialised with NaN).
// docs/testing.md has the whole list.
//
// MOE_EMULATOR_SCHEDULE in the environment seeds the order in which threads run and the time at which asynchronous work
// is done: 0 in order, as late as possible; 1 in reverse order, at once; other values: random.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/emulator/background.h"
#include "tests/emulator/fiber.h"
#include "tests/emulator/watch.h"

namespace emulator {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

// The last value that each lane offered. There are two sets in turn, so that a lane may offer its next value while
// others still read this one.
struct Exchange {
  uint64_t value[2][8][32];
};

struct Warp {
  uint32_t living = 0;             // lanes that have not returned
  uint32_t arrived = 0, mask = 0;  // of the operation in progress
  uint32_t generation = 0;         // operations so far
  const char* operation = "";
  Exchange exchange;
};

struct Thread {
  Index3 index;
  int lane = 0;
  Warp* warp = nullptr;
  enum class State { ready, at_barrier, in_warp_operation, waiting, returned } state = State::ready;
  uint32_t awaited = 0;                  // generation of the warp operation that it waits for
  std::function<bool()> may_go_on;       // set for a thread that is waiting
  std::function<std::string()> missing;  // describes what it waits for
  const char* where = "";
  Fiber* fiber = nullptr;
  struct Copy {
    void* to;
    const void* from;  // null: zeros
    uintptr_t place;
  };
  std::vector<Copy> open_copies;                  // cp.async since the last commit
  std::vector<std::vector<Copy>> pending_groups;  // committed, not yet waited for
  Groups products;                                // wgmma
  bool wgmma_fenced = false;
  Groups stores;                 // bulk stores by TMA
  uint32_t warpgroup_steps = 0;  // instructions of its warpgroup so far
  watch::Time time;
};

extern Thread* current;
extern Index3 block_index;
extern Index3 block_size, grid_size;

// For code that is compiled with kernels but is not part of one.
#define MOE_UNWATCHED __attribute__((no_sanitize("thread")))

// Runs body(closure) as every thread of every block.
void run(Index3 grid, Index3 block, size_t shared_bytes, void (*body)(const void*), const void* closure);
template <class Body>
void run(Index3 grid, Index3 block, size_t shared_bytes, const Body& body) {
  run(
      grid, block, shared_bytes, [](const void* closure) MOE_UNWATCHED { (*static_cast<const Body*>(closure))(); },
      &body);
}

// The implementations of kernels' built-in functions. Where the watch of memory records an access, it records the
// caller's address too.
#define MOE_CALLER reinterpret_cast<uintptr_t>(__builtin_return_address(0))
void* shared_memory(size_t bytes);  // the block's; fails when the launch allocated less
void barrier(const char* name);
// Offers `words` values of this lane and waits for all lanes of the mask. The others' values stay readable until this
// lane's next operation.
const Exchange& gather(uint32_t mask, const uint64_t* values, int words, const char* name, int& set);
// The only operation of a warp that orders accesses to memory.
void sync_warp(uint32_t mask);
// Lets other threads run until may_go_on(). `missing` completes "waits at WHERE" in the error when that never happens.
void wait_until(const char* where, std::function<bool()> may_go_on, std::function<std::string()> missing);
// bar.sync: waits at one of the block's 16 barriers until `threads` threads have arrived.
void named_barrier(int id, int threads);
// Called by every thread of a warpgroup with the same numbers, because it is one instruction of all four warps.
void warpgroup_step(const uint64_t* signature, int words, const char* name);
// cp.async of 16 bytes: done when its group is waited for. A null `from` gives zeros.
void copy_async(void* to, const void* from);
void commit_copies();
void wait_for_copies(size_t pending);
// mma.m16n8k16 of bf16, and ldmatrix.x4
void multiply_matrices(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
// Instructions that multiply matrices so far, each counted by every thread: mma.sync and wgmma.
extern uint64_t num_products;
void load_matrices(uint32_t (&r)[4], const void* row, bool transposed);
// Reports the access to the watch of memory, in place of the access itself.
void atomic_access(const void* address, size_t bytes);
// The offset of a pointer into the block's shared memory, and the reverse. Both fail for addresses outside.
size_t shared_offset(const void* pointer, size_t bytes);
char* at_shared_offset(size_t offset, size_t bytes);
extern char* shared_begin;
extern size_t shared_bytes;
inline bool holds_shared(const void* pointer, size_t bytes) {
  const size_t offset = reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(shared_begin);
  return offset <= shared_bytes && bytes <= shared_bytes - offset;
}
extern thread_local bool thread_runs;  // a kernel thread is running, not the scheduler or a launcher, which another
                                       // rank may be in
// The emulator's own memory, which kernels access as threadIdx and the like.
struct Range {
  const void* begin;
  size_t bytes;
};
extern Range own_memory[2];
inline bool belongs_to_emulator(const void* pointer) {
  for (const Range& range : own_memory) {
    if (reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(range.begin) < range.bytes) return true;
  }
  return false;
}
[[noreturn]] void fail(const std::string& what);
// The same, for places from which no exception may escape.
[[noreturn]] void stop(const std::string& what);

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) <= 8);
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return word;
}
template <class T>
T from_word(uint64_t word) {
  T value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

// `value` of lane `source`.
template <class T>
MOE_UNWATCHED T shuffle(uint32_t mask, T value, int source, const char* name) {
  const uint64_t word = to_word(value);
  int set = 0;
  const Exchange& all = gather(mask, &word, 1, name, set);
  if (!(mask >> source & 1u)) fail(std::string(name) + " reads a lane outside of its mask");
  return from_word<T>(all.value[set][0][source]);
}

}  // namespace emulator
