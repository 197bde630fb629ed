#include "data/output_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/log.h"

namespace moe {

namespace fs = std::filesystem;

constexpr double kFreshSeconds = 60;

static double seconds_of(const struct stat& status) {
  return static_cast<double>(status.st_mtim.tv_sec) + static_cast<double>(status.st_mtim.tv_nsec) * 1e-9;
}

static std::string this_process() {
  return fmt::format("process {} on {}", ::getpid(), host_name());
}

OutputLock::OutputLock(const std::string& output, const std::string& temporary, LockFile lock_with)
    : path_(output + ".lock") {
  std::error_code ignored;  // the preparation itself reports what cannot be created
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  while (true) {
    int descriptor = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    // Another user's lock may be waited for without the right to write to it.
    const bool may_write = descriptor >= 0;
    if (!may_write && errno == EACCES) descriptor = ::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0 && (errno == EACCES || errno == EROFS || errno == ENOENT || errno == ENOTDIR)) return;
    file_.emplace(PosixFile::adopt(path_, descriptor));
    int error = lock_with(descriptor, false);
    if (error == EWOULDBLOCK) {
      std::string owner(256, '\0');
      owner.resize(static_cast<size_t>(file_->read_at(owner.data(), std::ssize(owner), 0)));
      log::info("{} is being prepared by {}: waiting until that has ended", output,
                owner.empty() ? "another process" : owner);
      error = lock_with(descriptor, true);
    }
    if (error != 0) {
      log::warn("{} is on a file system without locks ({}): do not prepare it twice at the same time", output,
                std::strerror(error));
      lock_folder(output, temporary);
      return;
    }
    if (!leads_to(path_, descriptor)) continue;  // its owner has removed it
    const std::string owner = this_process();
    if (may_write && ::ftruncate(descriptor, 0) == 0) file_->write_at(owner.data(), std::ssize(owner), 0);
    return;
  }
}

void OutputLock::lock_folder(const std::string& output, const std::string& temporary) {
  if (::mkdir(temporary.c_str(), 0777) == 0) {
    made_ = temporary;
    return;
  }
  if (errno != EEXIST) return;
  // The time of the file system, which is not this host's on a network disk.
  ::futimens(file_->descriptor(), nullptr);
  struct stat now = {}, then = {};
  double newest = 0;
  if (::fstat(file_->descriptor(), &now) != 0) raise<DataError>("cannot inspect {}: {}", path_, std::strerror(errno));
  if (::stat(temporary.c_str(), &then) == 0) newest = seconds_of(then);
  for (const auto& entry : fs::directory_iterator(temporary)) {
    if (::stat(entry.path().c_str(), &then) == 0) newest = std::max(newest, seconds_of(then));
  }
  if (const double age = seconds_of(now) - newest; age < kFreshSeconds) {
    raise<DataError>(
        "{} seems to be prepared by another process: {} was changed {:.0f} seconds ago. If none does, try again in a "
        "minute",
        output, temporary, std::max(age, 0.0));
  }
}

OutputLock::~OutputLock() {
  if (!made_.empty()) ::rmdir(made_.c_str());  // if nothing was written into it
  if (file_ && leads_to(path_, file_->descriptor())) ::unlink(path_.c_str());
}

}  // namespace moe
