#include "tests/emulator/emulator.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>

#include "tests/emulator/memory.h"

namespace emulator {

Thread* current = nullptr;
Index3 block_index, block_size, grid_size;
char* shared_begin = nullptr;
size_t shared_bytes = 0;
Range own_memory[2];

void fail(const std::string& what) {
  throw std::runtime_error("CUDA emulator: " + what);
}

// ---- one block -----------------------------------------------------------------------------------------------------

struct NamedBarrier {
  std::vector<Thread*> arrived;
  int threads = 0;
  uint32_t generation = 0;
};

struct Block {
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  std::vector<Fiber> fibers;  // of the threads, reused for the next block
  void (*body)(const void*) = nullptr;
  const void* closure = nullptr;
  std::exception_ptr error;
  std::unique_ptr<char, decltype(&std::free)> shared{nullptr, &std::free};
  NamedBarrier named[16];
  std::vector<std::vector<uint64_t>> warpgroup_steps;  // of each warpgroup: hashes of its instructions
};
static Block block;

thread_local bool thread_runs = false;

static void resume(Thread& thread) {
  current = &thread;
  thread_runs = true;
  thread.fiber->resume();
  thread_runs = false;
}

static void yield() {
  current->fiber->yield(current->state == Thread::State::returned);
}

void stop(const std::string& what) {
  if (!thread_runs) fail(what);
  block.error = std::make_exception_ptr(std::runtime_error("CUDA emulator: " + what));
  yield();
  std::abort();  // the scheduler has ended the launch
}

static std::string name_of(const Thread& thread) {
  return "thread (" + std::to_string(thread.index.x) + ", " + std::to_string(thread.index.y) + ") of block (" +
         std::to_string(block_index.x) + ", " + std::to_string(block_index.y) + ", " + std::to_string(block_index.z) +
         ")";
}

static void run_thread() {
  try {
    block.body(block.closure);
    if (!current->products.open.empty() || !current->products.committed.empty())
      fail(name_of(*current) + " returns without waiting for its wgmma");
    if (!current->stores.open.empty() || !current->stores.committed.empty())
      fail(name_of(*current) + " returns without waiting for its bulk stores");
  } catch (...) {
    block.error = std::current_exception();
  }
  current->state = Thread::State::returned;
  current->warp->living &= ~(1u << current->lane);
  yield();
}

static void prepare_threads() {
  const size_t n = block.threads.size();
  if (block.fibers.size() < n) block.fibers.resize(n);
  for (size_t w = 0; w < block.warps.size(); ++w) {
    const size_t lanes = std::min<size_t>(32, n - 32 * w);
    block.warps[w].living = lanes == 32 ? 0xFFFFFFFFu : (1u << lanes) - 1;
    block.warps[w].arrived = 0;
  }
  block.warpgroup_steps.assign((block.warps.size() + 3) / 4, {});
  clear_background();
  for (NamedBarrier& named : block.named) named = {};
  for (size_t i = 0; i < n; ++i) {
    Thread& thread = block.threads[i];
    thread.index = {static_cast<unsigned>(i % block_size.x), static_cast<unsigned>(i / block_size.x), 0};
    thread.lane = static_cast<int>(i % 32);
    thread.warp = &block.warps[i / 32];
    thread.state = Thread::State::ready;
    thread.open_copies.clear();
    thread.pending_groups.clear();
    thread.products = thread.stores = {};
    thread.warpgroup_steps = 0;
    thread.wgmma_fenced = false;
    thread.fiber = &block.fibers[i];
    thread.fiber->begin(&run_thread);
  }
  watch::begin_block(block.threads);
}

// Runs the threads of one warp that can continue; with `to_the_end` until none of them can. Returns whether any ran.
static bool run_warp(std::vector<size_t>& lanes, bool to_the_end) {
  bool ran = false;
  for (bool again = true; again;) {
    again = false;
    for (const size_t i : lanes) {
      Thread& thread = block.threads[i];
      if (thread.state == Thread::State::in_warp_operation && thread.warp->generation != thread.awaited) {
        thread.state = Thread::State::ready;
      }
      if (thread.state == Thread::State::waiting && thread.may_go_on()) thread.state = Thread::State::ready;
      if (thread.state != Thread::State::ready) continue;
      resume(thread);
      if (block.error) std::rethrow_exception(block.error);
      ran = true;
      again = to_the_end;
    }
  }
  return ran;
}

// All threads wait. Releases those at the barrier, or reports which are missing; returns false when all have returned.
static bool pass_barrier() {
  size_t returned = 0;
  const Thread* waiting = nullptr;
  for (const Thread& thread : block.threads) {
    if (thread.state == Thread::State::in_warp_operation) {
      fail(name_of(thread) + " waits in " + thread.where + " for lanes that never arrive");
    }
    if (thread.state == Thread::State::waiting) {
      fail(name_of(thread) + " waits for ever at " + thread.where + ": " + thread.missing());
    }
    if (thread.state == Thread::State::at_barrier) waiting = &thread;
    returned += thread.state == Thread::State::returned;
  }
  if (!waiting) return false;
  if (returned > 0)
    fail(name_of(*waiting) + " waits at " + waiting->where + ", but other threads returned without reaching it");
  std::vector<Thread*> all;
  for (Thread& thread : block.threads) {
    thread.state = Thread::State::ready;
    all.push_back(&thread);
  }
  watch::meet(all);
  return true;
}

static void check_end() {
  for (const auto& steps : block.warpgroup_steps) {
    for (const uint64_t count : steps) {
      if (count >> 62) fail("not all warps of a warpgroup reached an instruction of the whole warpgroup");
    }
  }
}

static void run_block() {
  prepare_threads();
  std::vector<std::vector<size_t>> warps(block.warps.size());
  for (size_t i = 0; i < block.threads.size(); ++i) warps[i / 32].push_back(i);
  const uint64_t seed = schedule_seed();
  std::mt19937_64 random(seed);
  if (seed == 1) {
    std::reverse(warps.begin(), warps.end());
    for (auto& lanes : warps) std::reverse(lanes.begin(), lanes.end());
  }
  do {
    for (bool ran = true; ran;) {
      ran = false;
      if (seed > 1) std::shuffle(warps.begin(), warps.end(), random);
      for (auto& lanes : warps) {
        if (seed > 1) std::shuffle(lanes.begin(), lanes.end(), random);
        ran |= run_warp(lanes, seed <= 1);
      }
      ran |= run_background(!ran);
    }
  } while (pass_barrier());
  check_end();
}

// aligned_alloc accepts only multiples of the alignment, so that the allocation would not end where the memory ends.
static void* allocate_exactly(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, 1024, bytes) != 0)
    fail("cannot allocate memory for " + std::to_string(bytes) + " shared bytes");
  return memory;
}

void run(Index3 grid, Index3 size, size_t shared, void (*body)(const void*), const void* closure) {
  static std::mutex one_at_a_time;  // ranks may be threads
  const std::lock_guard lock(one_at_a_time);
  const DeviceAccess device;
  watch::begin_launch();
  const size_t threads = size_t{size.x} * size.y * size.z;
  grid_size = grid;
  block_size = size;
  block.threads.resize(threads);
  block.warps.resize((threads + 31) / 32);
  own_memory[0] = {block.threads.data(), block.threads.size() * sizeof(Thread)};
  own_memory[1] = {block.warps.data(), block.warps.size() * sizeof(Warp)};
  block.body = body;
  block.closure = closure;
  shared_bytes = shared;
  block.error = nullptr;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = {x, y, z};
        // Allocated with exactly this size, so that AddressSanitizer detects an access past it; filled with NaN in
        // every type.
        block.shared.reset(shared_bytes ? static_cast<char*>(allocate_exactly(shared_bytes)) : nullptr);
        shared_begin = block.shared.get();
        if (shared_bytes) std::memset(shared_begin, 0xFF, shared_bytes);
        run_block();
      }
    }
  }
  current = nullptr;
}

void* shared_memory(size_t bytes) {
  if (bytes > shared_bytes) {
    fail("a kernel uses " + std::to_string(bytes) + " bytes of shared memory, launched with " +
         std::to_string(shared_bytes));
  }
  return shared_begin;
}

size_t shared_offset(const void* pointer, size_t bytes) {
  if (!holds_shared(pointer, bytes)) fail("an address is not in shared memory");
  return reinterpret_cast<uintptr_t>(pointer) - reinterpret_cast<uintptr_t>(shared_begin);
}

char* at_shared_offset(size_t offset, size_t bytes) {
  if (offset > shared_bytes || bytes > shared_bytes - offset) {
    fail(std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of shared memory, which has " +
         std::to_string(shared_bytes));
  }
  return shared_begin + offset;
}

// ---- waiting for each other ----------------------------------------------------------------------------------------

void barrier(const char* name) {
  current->state = Thread::State::at_barrier;
  current->where = name;
  yield();
}

static void meet_in_warp(Thread& one, uint32_t mask) {
  std::vector<Thread*> those;
  Thread* first = &one - one.lane;
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1u) those.push_back(first + lane);
  }
  watch::meet(those);
}

static constexpr const char* kSyncWarp = "__syncwarp";

const Exchange& gather(uint32_t mask, const uint64_t* values, int words, const char* name, int& set) {
  Thread* thread = current;
  Warp& warp = *thread->warp;
  if (!(mask >> thread->lane & 1u)) fail(std::string(name) + ": " + name_of(*thread) + " is not in its own mask");
  if (mask & ~warp.living) fail(std::string(name) + " by " + name_of(*thread) + " names a lane that has returned");
  if (warp.arrived && (warp.mask != mask || (warp.operation != name && std::strcmp(warp.operation, name) != 0))) {
    fail(name_of(*thread) + " reaches " + name + " while its warp is in " + warp.operation);
  }
  warp.mask = mask;
  warp.operation = name;
  set = static_cast<int>(warp.generation % 2);
  for (int i = 0; i < words; ++i) warp.exchange.value[set][i][thread->lane] = values[i];
  warp.arrived |= 1u << thread->lane;
  if (warp.arrived == mask) {
    if (name == kSyncWarp) meet_in_warp(*thread, mask);
    warp.arrived = 0;
    ++warp.generation;
    return warp.exchange;
  }
  thread->state = Thread::State::in_warp_operation;
  thread->awaited = warp.generation;
  thread->where = name;
  yield();
  return warp.exchange;
}

void sync_warp(uint32_t mask) {
  int set = 0;
  gather(mask, nullptr, 0, kSyncWarp, set);
}

void wait_until(const char* where, std::function<bool()> may_go_on, std::function<std::string()> missing) {
  if (may_go_on()) return;
  current->state = Thread::State::waiting;
  current->where = where;
  current->may_go_on = std::move(may_go_on);
  current->missing = std::move(missing);
  yield();
}

void named_barrier(int id, int threads) {
  if (id < 0 || id > 15 || threads % 32 != 0) fail("bar.sync " + std::to_string(id) + " of " + std::to_string(threads));
  NamedBarrier& barrier = block.named[id];
  if (!barrier.arrived.empty() && barrier.threads != threads)
    fail(name_of(*current) + " reaches bar.sync " + std::to_string(id) + " with another number of threads");
  barrier.threads = threads;
  barrier.arrived.push_back(current);
  if (barrier.arrived.size() == static_cast<size_t>(threads)) {
    watch::meet(barrier.arrived);
    barrier.arrived.clear();
    ++barrier.generation;
    return;
  }
  wait_until(
      "bar.sync", [&barrier, before = barrier.generation] { return barrier.generation != before; },
      [&barrier, id] {
        return "barrier " + std::to_string(id) + " has " + std::to_string(barrier.arrived.size()) + " of " +
               std::to_string(barrier.threads) + " threads";
      });
}

void warpgroup_step(const uint64_t* signature, int words, const char* name) {
  int set = 0;
  const Exchange& all = gather(0xFFFFFFFFu, signature, words, name, set);
  uint64_t hash = 1469598103934665603u;
  for (int i = 0; i < words; ++i) {
    for (int lane = 0; lane < 32; ++lane) {
      if (all.value[set][i][lane] != signature[i]) fail(std::string(name) + " with different arguments in one warp");
    }
    hash = (hash ^ signature[i]) * 1099511628211u;
  }
  for (const char* c = name; *c; ++c) hash = (hash ^ static_cast<unsigned char>(*c)) * 1099511628211u;
  hash &= (uint64_t{1} << 60) - 1;
  const size_t step = current->warpgroup_steps++;
  if (current->lane != 0) return;
  auto& steps = block.warpgroup_steps[static_cast<size_t>(current->warp - block.warps.data()) / 4];
  // The upper bits count the warps that have yet to arrive.
  if (step == steps.size()) {
    steps.push_back(hash | uint64_t{3} << 62);
    return;
  }
  if ((steps[step] & ((uint64_t{1} << 60) - 1)) != hash)
    fail(name_of(*current) + " reaches " + name + ", but other warps of its warpgroup reach another instruction");
  steps[step] -= uint64_t{1} << 62;
}

}  // namespace emulator
