// Checks on the CPU what compute-sanitizer checks of a kernel. Kernel sources that are compiled with -fsanitize=thread
// call the functions of watch.cpp, instead of ThreadSanitizer's, before each access to memory. It stops at
// - an access outside of the device's memory, to the host's memory, or to another thread's registers; an access that is
//   not aligned to its size;
// - two accesses to the same memory, one of them a write, that nothing orders: no barrier of the block, no __syncwarp
//   (other operations of a warp order nothing), no mbarrier; blocks of one launch are never ordered;
// - a read of global memory that was never written;
// - copies by TMA and wgmma that use shared memory written by ordinary stores, without a fence.proxy.async between.
//
// Not detected: accesses of a thread to the operands of its own wgmma or store before it has waited for it.
//
// Threads have vector clocks, as in race detectors for CPUs: a thread counts the points at which others can synchronise
// with it, and records up to which point of each other thread it has synchronised.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace emulator {
struct Thread;
}

namespace emulator::watch {

// Whether any source in this program was compiled this way. Everything below does nothing otherwise.
extern bool on;

using Seen = std::vector<uint32_t>;  // by thread, then by mbarrier: the copies that it counts are one thread each
struct Time {
  uint32_t own = 1;
  std::shared_ptr<const Seen> seen;  // shared by all threads that have left a barrier together
  std::vector<uint32_t> fences;      // of this thread, at each fence.proxy.async
};

void begin_launch();
void begin_block(std::vector<Thread>& threads);
// All of these threads have arrived, and continue.
void meet(const std::vector<Thread*>& threads);
void fence(Thread& thread);
// An mbarrier at this offset in shared memory: an arrival of the current thread, the end of a phase, and the current
// thread's continuing after one.
void arrive(size_t mbarrier);
void end_phase(size_t mbarrier);
void pass(size_t mbarrier);

// ---- accesses of instructions that the emulator does itself --------------------------------------------------------

enum class Access { read, write, atomic };
enum class Proxy { generic, async };

// The source of an access to memory: a thread at some time, or a copy that an mbarrier counts.
struct Actor {
  const char* instruction;
  uintptr_t place;  // address in the program
  Proxy proxy;
  uint32_t id, own;
  const Seen* seen;
  std::shared_ptr<const Seen> owner;  // of an actor that outlives its time
};
// The current thread at this point.
Actor actor(const char* instruction, uintptr_t place, Proxy proxy);
// A copy that the current thread starts and this mbarrier counts; finish() when it is done.
Actor copy_actor(const char* instruction, uintptr_t place, size_t mbarrier);
void finish(const Actor& copy, size_t mbarrier);

// Reports an earlier access that is not ordered before this one, and records this one. `remember` false: for the start
// of asynchronous work.
void access(const Actor& actor, const void* address, size_t bytes, Access access, bool remember = true);

// ---- called by the host ---------------------------------------------------------------------------------------------

struct Record;                     // accesses to a piece of global memory
Record* new_record(size_t bytes);  // null when nothing is watched
void delete_record(Record* record);
void host_wrote(const void* address, size_t bytes);

}  // namespace emulator::watch
