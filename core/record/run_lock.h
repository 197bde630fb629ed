// The lock on a run's folder: one process at a time may write to it. The kernel's lock on the file `lock` decides, so
// the lock of a process that was killed is free at once; the file's text only names the owner. Process numbers decide
// nothing, because they repeat in containers.
#pragma once
#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/base/file_lock.h"

namespace moe {

// Whether a process holds the lock of a run's folder. Asking takes the lock for a moment.
bool is_run_in_use(const std::string& folder);

class RunLock {
 public:
  // Creates the folder, with parents, if it does not exist, and locks it. Throws CheckpointError, which names the
  // owner, when another process uses the folder. Where the file system has no locks it logs a warning, and refuses
  // only if the owner's record was refreshed within the last minute; every lock refreshes its own.
  explicit RunLock(const std::string& folder, LockFile lock_with = lock_file);
  // Removes the file, and the folders that were created if they are still empty.
  ~RunLock();
  RunLock(const RunLock&) = delete;

  // Throws CheckpointError if the path no longer leads to the folder that was locked.
  void require_folder() const;

 private:
  void create_folder();
  int open_file();
  void lock(LockFile lock_with);
  void lock_by_record();
  void refresh();
  void release();

  std::string folder_, file_;
  std::vector<std::string> created_;  // folders, outermost first
  int folder_descriptor_ = -1, descriptor_ = -1;
  std::mutex mutex_;
  std::condition_variable ending_;
  bool ends_ = false;
  std::thread refresher_;
};

}  // namespace moe
