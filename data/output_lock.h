// Keeps two preparations from writing to one output at the same time. The kernel's lock on a file beside the output
// decides, so the lock of a process that was killed is free at once.
#pragma once
#include <optional>
#include <string>

#include "core/base/file_lock.h"
#include "data/posix_file.h"

namespace moe {

class OutputLock {
 public:
  // Waits, with a message, while another process prepares `output`, and locks it. `temporary`: the folder in which the
  // output is collected. Where the file system has no locks, that folder serves as one: it is created, and if it exists
  // already, DataError is thrown unless nothing in it was changed within the last minute. Nothing is locked where the
  // lock's file cannot be created because this process may not write there.
  OutputLock(const std::string& output, const std::string& temporary, LockFile lock_with = lock_file);
  // Removes the lock's file.
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  void lock_folder(const std::string& output, const std::string& temporary);

  std::string path_;
  std::string made_;  // the folder that serves as a lock, if it was created for that
  std::optional<PosixFile> file_;
};

}  // namespace moe
