#include "tests/emulator/watch.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>

#include "tests/emulator/emulator.h"
#include "tests/emulator/memory.h"

namespace emulator::watch {

bool on = false;

// ---- recorded accesses to memory ------------------------------------------------------------------------------------

static constexpr size_t kGrain = 2;   // bytes that share a history; bf16 is the smallest type
static constexpr uint64_t kHost = 1;  // a run before all others

// The actor and time of an access; all 0 for no access. Runs number the blocks one after the other. (These are not bit
// fields, because those are stored in parts and loading the whole would then wait.)
class Stamp {
 public:
  Stamp() = default;
  Stamp(uint64_t run, uint32_t id, bool atomic, uint32_t own)
      : bits_(run << 32 | uint64_t{id} << 21 | uint64_t{atomic} << 20 | own) {}
  uint64_t run() const { return bits_ >> 32; }
  uint32_t id() const { return bits_ >> 21 & 0x7FF; }
  bool atomic() const { return bits_ >> 20 & 1; }
  uint32_t own() const { return bits_ & 0xFFFFF; }
  bool operator==(const Stamp&) const = default;

 private:
  uint64_t bits_ = 0;
};
static constexpr uint32_t kMostPoints = 0xFFFFF;  // points of a thread's clock that a stamp can hold

struct History {
  Stamp write;
  Stamp reads[2];  // two unordered ones, if there are
};

// The histories of a piece of memory, and the program addresses of its writes.
struct Record {
  History* history = nullptr;
  uint32_t* writers = nullptr;
  size_t grains = 0;
};

static uint64_t launch_run = 2, block_run = 2;  // the first of this launch, and this block's
static size_t num_threads = 0;
static std::vector<Thread>* threads = nullptr;
static Record shared_record;  // accesses older than this block are ignored

static size_t bytes_of(size_t grains) {
  return grains * (sizeof(History) + sizeof(uint32_t));
}

static Record make_record(size_t bytes) {
  Record record;
  record.grains = bytes / kGrain + 1;
  void* memory = mmap(nullptr, bytes_of(record.grains), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("cannot allocate memory for the watch of memory");
  record.history = static_cast<History*>(memory);
  record.writers = reinterpret_cast<uint32_t*>(record.history + record.grains);
  return record;
}

static void release(const Record& record) {
  if (record.history) munmap(record.history, bytes_of(record.grains));
}

Record* new_record(size_t bytes) {
  return on ? new Record(make_record(bytes)) : nullptr;
}

void delete_record(Record* record) {
  if (!record) return;
  release(*record);
  delete record;
}

void host_wrote(const void* address, size_t bytes) {
  if (!on || bytes == 0) return;
  const DeviceMemory* memory = device_memory_at(address);
  if (!memory || !memory->record) return;
  const auto first = static_cast<size_t>(static_cast<const char*>(address) - memory->base);
  const Record& record = *memory->record;
  for (size_t i = first / kGrain; i <= (first + bytes - 1) / kGrain; ++i)
    record.history[i].write = Stamp(kHost, 0, false, 0);
}

// ---- clocks --------------------------------------------------------------------------------------------------------

static constexpr size_t kMbarriers = 64;

struct Meeting {
  size_t index;           // index in Seen, after the threads
  uint32_t copies = 0;    // number it has counted so far
  Seen arriving, passed;  // knowledge of the threads that arrived in this phase, and in the previous one
};
static std::unordered_map<size_t, Meeting> mbarriers;

static Meeting& meeting_at(size_t offset) {
  const auto [found, is_new] = mbarriers.try_emplace(offset, Meeting{num_threads + mbarriers.size(), 0, {}, {}});
  if (is_new && mbarriers.size() > kMbarriers) fail("more mbarriers than the watch of memory supports");
  return found->second;
}

static size_t number_of(const Thread& thread) {
  return static_cast<size_t>(&thread - threads->data());
}

// Starts a new point: other threads may synchronise with what this thread has done so far.
static uint32_t next_point(Time& time) {
  if (time.own == kMostPoints) fail("a block with more barriers than the watch of memory can count");
  return time.own++;
}

static void join(Seen& into, const Seen& other) {
  if (into.empty()) into.resize(other.size());
  for (size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
}

void begin_launch() {
  launch_run = block_run + 1;
}

void begin_block(std::vector<Thread>& block_threads) {
  if (!on) return;
  ++block_run;
  threads = &block_threads;
  num_threads = block_threads.size();
  mbarriers.clear();
  const auto nothing = std::make_shared<const Seen>(num_threads + kMbarriers);
  for (Thread& thread : block_threads) thread.time = {1, nothing, {}};
}

void meet(const std::vector<Thread*>& those) {
  if (!on) return;
  auto all = std::make_shared<Seen>(*those.front()->time.seen);
  const Seen* last = those.front()->time.seen.get();
  for (const Thread* thread : those) {
    if (thread->time.seen.get() != last) join(*all, *thread->time.seen);
    last = thread->time.seen.get();
  }
  for (Thread* thread : those) (*all)[number_of(*thread)] = next_point(thread->time);
  for (Thread* thread : those) thread->time.seen = all;
}

void fence(Thread& thread) {
  if (on) thread.time.fences.push_back(next_point(thread.time));
}

void arrive(size_t mbarrier) {
  if (!on) return;
  Seen& arriving = meeting_at(mbarrier).arriving;
  join(arriving, *current->time.seen);
  arriving[number_of(*current)] = next_point(current->time);
}

void end_phase(size_t mbarrier) {
  if (!on) return;
  Meeting& meeting = meeting_at(mbarrier);
  meeting.passed = std::move(meeting.arriving);
  meeting.arriving.clear();
}

void pass(size_t mbarrier) {
  if (!on) return;
  const Meeting& meeting = meeting_at(mbarrier);
  if (meeting.passed.empty()) return;  // the parity before the first phase
  auto seen = std::make_shared<Seen>(*current->time.seen);
  join(*seen, meeting.passed);
  current->time.seen = std::move(seen);
}

Actor actor(const char* instruction, uintptr_t place, Proxy proxy) {
  if (!on) return {};
  const Time& time = current->time;
  return {instruction, place, proxy, static_cast<uint32_t>(number_of(*current)), time.own, time.seen.get(), time.seen};
}

Actor copy_actor(const char* instruction, uintptr_t place, size_t mbarrier) {
  if (!on) return {};
  Meeting& meeting = meeting_at(mbarrier);
  // The copy comes after what its thread did before.
  auto seen = std::make_shared<Seen>(*current->time.seen);
  (*seen)[number_of(*current)] = next_point(current->time);
  return {instruction, place, Proxy::async, static_cast<uint32_t>(meeting.index), ++meeting.copies, seen.get(), seen};
}

void finish(const Actor& copy, size_t mbarrier) {
  if (!on) return;
  Seen& arriving = meeting_at(mbarrier).arriving;
  join(arriving, *copy.seen);
  arriving[copy.id] = std::max(arriving[copy.id], copy.own);
}

// ---- reports --------------------------------------------------------------------------------------------------------

static uintptr_t program_begin() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&program_begin), &info) ? reinterpret_cast<uintptr_t>(info.dli_fbase) : 0;
}

static const uintptr_t begin_of_program = program_begin();
extern "C" char _end;  // defined by the linker
static const auto end_of_program = reinterpret_cast<uintptr_t>(&_end);

// The source line of an instruction, from binutils.
static std::string line_of(uint32_t place) {
  if (place == 0) return "";
  char command[128];
  std::snprintf(command, sizeof command, "addr2line -Cfpie /proc/%d/exe 0x%x 2>/dev/null", static_cast<int>(getpid()),
                place - 1);
  std::string line;
  if (FILE* pipe = popen(command, "r")) {
    char text[512];
    while (std::fgets(text, sizeof text, pipe)) line += text;
    pclose(pipe);
  }
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line.empty() ? " at " + std::string(command) : "\n  " + line;
}

static const char* const kNames[] = {"read", "write", "atomic operation"};

static std::string name_of(uint32_t id) {
  if (id >= num_threads) return "a copy by TMA";
  return "thread " + std::to_string(id);
}

struct Request {
  const Actor& actor;
  const void* address;
  size_t bytes;
  Access access;
  bool remember;
};

[[noreturn]] static void complain(const Request& r, const std::string& what, const std::string& before = "") {
  std::string text = std::string(r.actor.instruction ? r.actor.instruction : kNames[static_cast<int>(r.access)]) +
                     " of " + std::to_string(r.bytes) + " bytes by " + name_of(r.actor.id) + " of block (" +
                     std::to_string(block_index.x) + ", " + std::to_string(block_index.y) + ", " +
                     std::to_string(block_index.z) + ")";
  if (holds_shared(r.address, 1)) {
    text += " at " + std::to_string(shared_offset(r.address, 0)) + " of shared memory";
  } else if (const DeviceMemory* memory = device_memory_at(r.address)) {
    text += " at byte " + std::to_string(static_cast<const char*>(r.address) - memory->base) +
            " of global memory (an allocation of " + std::to_string(memory->bytes) + ")";
  }
  stop(text + " " + what + line_of(static_cast<uint32_t>(r.actor.place - begin_of_program)) + before);
}

[[noreturn]] static void complain_of_order(const Request& r, const std::string& what, const char* name, Stamp before,
                                           uint32_t place) {
  complain(r, what,
           "\nafter a " + std::string(name) + " by " +
               (before.run() == block_run ? name_of(before.id()) : "a thread of another block") + line_of(place));
}

// ---- accesses ------------------------------------------------------------------------------------------------------

// Each block has its own shared memory; accesses of other blocks of the launch to global memory are unordered.
template <bool kShared>
static bool known(Stamp stamp, const Actor& actor) {
  if (stamp.run() != block_run) return kShared || stamp.run() < launch_run;
  return stamp.id() == actor.id || (*actor.seen)[stamp.id()] >= stamp.own();
}

// Whether the thread that wrote has since made its stores visible to copies and wgmma, as far as the actor has
// synchronised with it.
static bool fenced(Stamp stamp, const Actor& actor) {
  const std::vector<uint32_t>& fences = (*threads)[stamp.id()].time.fences;
  const auto fence = std::lower_bound(fences.begin(), fences.end(), stamp.own());
  return fence != fences.end() && (stamp.id() == actor.id || (*actor.seen)[stamp.id()] >= *fence);
}

// Checks against the previous write: every access must be ordered after it, and copies and wgmma may use ordinary
// stores only after a fence.
template <bool kShared>
static void check_write(const Request& r, const History& history, uint32_t writer, const char* verb) {
  const Stamp write = history.write;
  if (!known<kShared>(write, r.actor))
    complain_of_order(r, "is not ordered with a write before it", "write", write, writer);
  if (kShared && r.actor.proxy == Proxy::async && write.run() == block_run && write.id() < num_threads &&
      !fenced(write, r.actor)) {
    complain_of_order(r, std::string(verb) + " data of an ordinary store without a fence.proxy.async since", "write",
                      write, writer);
  }
}

template <bool kShared>
static void read_grain(const Request& r, History& history, const uint32_t& writer, Stamp now) {
  check_write<kShared>(r, history, writer, "reads");
  if (!r.remember) return;
  // An actor that is ordered after this read is also ordered after the reads that this one is ordered after.
  for (Stamp& read : history.reads) {
    if (read == now) return;
    if (known<kShared>(read, r.actor)) {
      read = now;
      return;
    }
  }
  history.reads[1] = now;
}

template <bool kShared>
static void write_grain(const Request& r, History& history, uint32_t& writer, Stamp now) {
  if (!(now.atomic() && history.write.atomic())) check_write<kShared>(r, history, writer, "overwrites");
  for (const Stamp read : history.reads) {
    if (!known<kShared>(read, r.actor)) complain_of_order(r, "is not ordered with a read before it", "read", read, 0);
  }
  if (!r.remember) return;
  history = {now, {}};
  writer = static_cast<uint32_t>(r.actor.place - begin_of_program);
}

template <bool kShared>
static void access_grains(const Request& r, const Record& record, size_t offset) {
  const Stamp now(block_run, r.actor.id, r.access == Access::atomic, r.actor.own);
  const size_t end = (offset + r.bytes - 1) / kGrain;
  if (r.access == Access::read) {
    for (size_t i = offset / kGrain; i <= end; ++i) read_grain<kShared>(r, record.history[i], record.writers[i], now);
  } else {
    for (size_t i = offset / kGrain; i <= end; ++i) write_grain<kShared>(r, record.history[i], record.writers[i], now);
  }
}

static void access_shared(const Request& r) {
  if (!holds_shared(r.address, r.bytes)) complain(r, "goes beyond it");
  if (shared_record.grains < shared_bytes / kGrain + 1) {
    release(shared_record);
    shared_record = make_record(shared_bytes);
  }
  access_grains<true>(r, shared_record, static_cast<size_t>(static_cast<const char*>(r.address) - shared_begin));
}

static void access_global(const Request& r, const DeviceMemory& memory) {
  const auto offset = static_cast<size_t>(static_cast<const char*>(r.address) - memory.base);
  if (r.bytes > memory.bytes - offset) complain(r, "goes beyond it");
  if (!memory.record) return;
  const Record& record = *memory.record;
  // The host's writes to managed memory are not recorded, and TMA may load rows that are not used.
  if (!memory.managed && r.access != Access::write && r.actor.proxy == Proxy::generic) {
    for (size_t i = offset / kGrain; i <= (offset + r.bytes - 1) / kGrain; ++i) {
      if (record.history[i].write.run() == 0) complain(r, "reads memory that was never written");
    }
  }
  access_grains<false>(r, record, offset);
}

// The last allocation that was accessed, because most accesses are to the same one.
static const DeviceMemory* find_memory(const void* address) {
  static const DeviceMemory* last = nullptr;
  static uint64_t generation = 0;
  if (generation != memory_generation || !last ||
      static_cast<size_t>(static_cast<const char*>(address) - last->base) >= last->bytes) {
    generation = memory_generation;
    last = device_memory_at(address);
  }
  return last;
}

void access(const Actor& actor, const void* address, size_t bytes, Access access, bool remember) {
  if (!on || bytes == 0) return;
  const Request request{actor, address, bytes, access, remember};
  if (holds_shared(address, 1)) return access_shared(request);
  const DeviceMemory* memory = find_memory(address);
  if (!memory) complain(request, "accesses memory of the host");
  access_global(request, *memory);
}

// An access by a kernel's code.
static inline void from_kernel(const void* address, size_t bytes, Access kind, uintptr_t place) {
  if (!thread_runs) return;  // a launcher
  if (current->fiber->holds(address)) return;
  const auto at = reinterpret_cast<uintptr_t>(address);
  const Actor self{nullptr,
                   place,
                   Proxy::generic,
                   static_cast<uint32_t>(number_of(*current)),
                   current->time.own,
                   current->time.seen.get(),
                   nullptr};
  const Request request{self, address, bytes, kind, true};
  const bool is_shared = holds_shared(address, 1);
  const DeviceMemory* memory = nullptr;
  if (!is_shared) {
    // Accesses that the compiler makes for threadIdx and constants; host variables would not compile for a device.
    if (at - begin_of_program < end_of_program - begin_of_program || belongs_to_emulator(address)) return;
    memory = find_memory(address);
    if (!memory) complain(request, "accesses memory of the host");
  }
  if (at % bytes != 0 && bytes <= 16) complain(request, "is not aligned to its size");
  if (is_shared)
    access_shared(request);
  else
    access_global(request, *memory);
}

}  // namespace emulator::watch

// ---- functions that the compiler calls ------------------------------------------------------------------------------

#define MOE_WATCHED(bytes)                                  \
  void __tsan_read##bytes(void* address) {                  \
    from_kernel(address, bytes, Access::read, MOE_CALLER);  \
  }                                                         \
  void __tsan_write##bytes(void* address) {                 \
    from_kernel(address, bytes, Access::write, MOE_CALLER); \
  }                                                         \
  void __tsan_unaligned_read##bytes(void* address) {        \
    from_kernel(address, bytes, Access::read, MOE_CALLER);  \
  }                                                         \
  void __tsan_unaligned_write##bytes(void* address) {       \
    from_kernel(address, bytes, Access::write, MOE_CALLER); \
  }

using emulator::watch::Access;
using emulator::watch::from_kernel;

extern "C" {

void __tsan_init() {
  emulator::watch::on = true;
}
MOE_WATCHED(1)
MOE_WATCHED(2)
MOE_WATCHED(4)
MOE_WATCHED(8)
MOE_WATCHED(16)
void __tsan_read_range(void* address, size_t bytes) {
  from_kernel(address, bytes, Access::read, MOE_CALLER);
}
void __tsan_write_range(void* address, size_t bytes) {
  from_kernel(address, bytes, Access::write, MOE_CALLER);
}
// clang calls these instead of the C library's functions.
void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  from_kernel(from, bytes, Access::read, MOE_CALLER);
  from_kernel(to, bytes, Access::write, MOE_CALLER);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memset(void* to, int value, size_t bytes) {
  from_kernel(to, bytes, Access::write, MOE_CALLER);
  return std::memset(to, value, bytes);
}
void __tsan_vptr_read(void*) {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

// Called by -fsanitize=alignment, before an access through a pointer that is not aligned to its type: for vectors,
// which the compiler splits on this machine.
struct TypeMismatch {
  const char* file;
  uint32_t line, column;
  const void* type;
  unsigned char log_alignment, kind;
};
void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch* data, uintptr_t address) {
  emulator::stop("an access to an address that is " + std::to_string(address % (uintptr_t{1} << data->log_alignment)) +
                 " bytes past a multiple of " + std::to_string(1 << data->log_alignment) + ", to which its type is" +
                 " aligned: " + data->file + ":" + std::to_string(data->line));
}

// Launchers count references.
int __tsan_atomic32_fetch_add(volatile int* address, int value, int) {
  return __atomic_fetch_add(address, value, __ATOMIC_SEQ_CST);
}
int __tsan_atomic32_load(const volatile int* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}
char __tsan_atomic8_load(const volatile char* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}
int64_t __tsan_atomic64_load(const volatile int64_t* address, int) {
  return __atomic_load_n(address, __ATOMIC_SEQ_CST);
}

}  // extern "C"
