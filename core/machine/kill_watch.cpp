#include "core/machine/kill_watch.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "core/base/background_thread.h"
#include "core/machine/cgroup.h"

namespace moe {

// mpirun ends the other ranks half a second or a second after the death of one.
static constexpr std::chrono::milliseconds kPause{200};

// The number in a line "oom_kill 3"; nothing if there is no such line.
static std::optional<int64_t> counted_in(const SystemFiles& files, const std::string& file) {
  static constexpr std::string_view kName = "oom_kill ";
  for (const std::string& line : files.lines(file)) {
    if (!line.starts_with(kName)) continue;
    const long long count = std::atoll(line.c_str() + kName.size());
    if (count >= 0) return count;
  }
  return std::nullopt;
}

std::optional<int64_t> memory_kills(const SystemFiles& files, const std::vector<std::string>& groups) {
  std::optional<int64_t> most;
  for (const std::string& folder : groups) {
    for (const char* file : {"/memory.events", "/memory.oom_control"}) {  // of version 2 and 1
      const std::optional<int64_t> count = counted_in(files, folder + file);
      if (count && (!most || *count > *most)) most = count;
    }
  }
  return most ? most : counted_in(files, "/proc/vmstat");
}

KillWatch::KillWatch(const SystemFiles& files, OnKill on_kill) : files_(files), groups_(memory_groups(files)) {
  const std::optional<int64_t> before = memory_kills(files_, groups_);
  if (!before) return;
  thread_ = background_thread([this, before, call = std::move(on_kill)] { watch(*before, call); });
}

KillWatch::~KillWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void KillWatch::watch(int64_t before, const OnKill& on_kill) {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kPause, [&] { return ends_; })) {
    const int64_t now = memory_kills(files_, groups_).value_or(before);
    if (now <= before) continue;
    on_kill(fmt::format(
        "The kernel has ended {} on this host because memory ran out. If a rank of this job ends by signal 9, that is "
        "the reason: use fewer ranks on a host, a smaller train.batch, or more train.micro_batches; --dry-run says "
        "what a rank needs",
        now - before == 1 ? "a process" : fmt::format("{} processes", now - before)));
    return;
  }
}

}  // namespace moe
