// Notices when the kernel ends a process because memory ran out. Such a process can report nothing itself, and mpirun
// only says "signal 9", so another process of the same host reports it.
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/machine/system_files.h"

namespace moe {

// The number of processes that the kernel has ended for want of memory since it counts, in one of the control groups of
// memory_groups(), whichever says more; of the whole machine where no group counts. Nothing where neither is counted.
std::optional<int64_t> memory_kills(const SystemFiles& files, const std::vector<std::string>& groups);

class KillWatch {
 public:
  // Called by the watching thread, at most once.
  using OnKill = std::function<void(const std::string& message)>;

  // A thread looks several times a second.
  KillWatch(const SystemFiles& files, OnKill on_kill);
  ~KillWatch();
  KillWatch(const KillWatch&) = delete;

 private:
  void watch(int64_t before, const OnKill& on_kill);

  SystemFiles files_;
  std::vector<std::string> groups_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace moe
