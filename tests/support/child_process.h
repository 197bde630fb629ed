// Programs that are started as a user starts them, in a separate process group that ends with the test.
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace moe {

// Limit after which a program counts as hanging. Even on a slow or busy machine no program needs this long.
inline constexpr int kHangSeconds = 1800;

struct Finished {
  int code = 0;  // exit code, or minus the signal that ended it
  std::string out, err;
};

class ChildProcess {
 public:
  // `in_child` runs between fork and exec, for example to set resource limits.
  explicit ChildProcess(const std::vector<std::string>& arguments, const std::function<void()>& in_child = {});
  ChildProcess(const ChildProcess&) = delete;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  std::vector<pid_t> children() const;  // for mpirun: the ranks
  void signal(int number) const;

  // Blocks until standard error contains `text`; returns false when the program ended without it, or seems to hang.
  bool wait_for(const std::string& text);
  // Throws when the program seems to hang.
  Finished wait();

 private:
  bool has_ended();

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

Finished run_child(const std::vector<std::string>& arguments, const std::function<void()>& in_child = {});

std::string read_file(const std::string& path);

}  // namespace moe
