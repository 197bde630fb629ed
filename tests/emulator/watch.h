// What compute-sanitizer asks of a kernel, asked on the CPU: sources of kernels that are compiled with
// -fsanitize=thread call the functions of watch.cpp, instead of ThreadSanitizer's, before each access to memory. It
// stops at
// - an access outside of the device's memory, or to the host's, or to another thread's registers; one that is not
//   aligned to its size;
// - two accesses to the same memory, one of them a write, that nothing orders: no barrier of the block, no __syncwarp
//   (other operations of a warp order nothing), no mbarrier; blocks of one launch are never ordered;
// - a read of global memory that nobody wrote;
// - copies by TMA and wgmma that use shared memory which ordinary stores wrote, without a fence.proxy.async between.
//
// Not seen: what a thread does itself to the operands of its wgmma or store that it has not waited for yet.
//
// Threads have vector clocks, as in race detectors for CPUs: a thread counts the points at which others may learn of
// what it did, and knows up to which point of each other thread it has been told.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace emulator {
struct Thread;
}

namespace emulator::watch {

// Whether any source in this program was compiled so. Everything below does nothing otherwise.
extern bool on;

using Seen = std::vector<uint32_t>;  // by thread, then by mbarrier: copies that it counts are a thread each
struct Time {
  uint32_t own = 1;
  std::shared_ptr<const Seen> seen;  // the same for all that have come from a barrier together
  std::vector<uint32_t> fences;      // own, at each fence.proxy.async
};

void begin_launch();
void begin_block(std::vector<Thread>& threads);
// All of these have come, and go on.
void meet(const std::vector<Thread*>& threads);
void fence(Thread& thread);
// An mbarrier at this offset in shared memory: an arrival of the current thread, the end of a phase, the current
// thread's going on after one.
void arrive(size_t mbarrier);
void end_phase(size_t mbarrier);
void pass(size_t mbarrier);

// ---- accesses of instructions that the emulator does itself --------------------------------------------------------

enum class Access { read, write, atomic };
enum class Proxy { generic, async };

// Who accesses memory: a thread, as it was at some time, or a copy that an mbarrier counts.
struct Actor {
  const char* instruction;
  uintptr_t place;  // in the program
  Proxy proxy;
  uint32_t id, own;
  const Seen* seen;
  std::shared_ptr<const Seen> owner;  // of an actor that outlives its time
};
// The current thread as it is now.
Actor actor(const char* instruction, uintptr_t place, Proxy proxy);
// A copy that the current thread begins and this mbarrier counts; finish() when it is done.
Actor copy_actor(const char* instruction, uintptr_t place, size_t mbarrier);
void finish(const Actor& copy, size_t mbarrier);

// Complains of what goes before without order, and remembers the access: `remember` false for the beginning of work in
// the background.
void access(const Actor& actor, const void* address, size_t bytes, Access access, bool remember = true);

// ---- the host's ----------------------------------------------------------------------------------------------------

struct Record;                     // of what has been done to a piece of global memory
Record* new_record(size_t bytes);  // null when nothing is watched
void delete_record(Record* record);
void host_wrote(const void* address, size_t bytes);

}  // namespace emulator::watch
