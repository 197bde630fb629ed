#include "data/posix_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/base/check.h"

namespace moe {

void PosixFile::fail(const char* action) const {
  raise<DataError>("cannot {} {}: {}", action, path_, std::strerror(errno));
}

// Raises the number of files that this process may have open as far as it may. A corpus of a thousand shards has more
// than the usual limit of 1024.
static bool raise_limit_of_files() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return false;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

PosixFile PosixFile::open(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 && errno == EMFILE && raise_limit_of_files())
    descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  PosixFile file(path, descriptor);
  if (file.descriptor_ < 0) file.fail("open");
  return file;
}

PosixFile PosixFile::create(const std::string& path) {
  PosixFile file(path, ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.descriptor_ < 0) file.fail("create");
  return file;
}

PosixFile PosixFile::adopt(const std::string& path, int descriptor) {
  PosixFile file(path, descriptor);
  if (file.descriptor_ < 0) file.fail("open");
  return file;
}

PosixFile PosixFile::duplicate() const {
  return adopt(path_, ::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0));
}

PosixFile::PosixFile(PosixFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

PosixFile& PosixFile::operator=(PosixFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

PosixFile::~PosixFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

int64_t PosixFile::size() const {
  struct stat status = {};
  if (::fstat(descriptor_, &status) != 0) fail("inspect");
  return status.st_size;
}

int64_t PosixFile::read(void* out, int64_t bytes) {
  int64_t done = 0;
  while (done < bytes) {
    const ssize_t count = ::read(descriptor_, static_cast<char*>(out) + done, static_cast<size_t>(bytes - done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) break;
    done += count;
  }
  return done;
}

int64_t PosixFile::read_at(void* out, int64_t bytes, int64_t offset) const {
  int64_t done = 0;
  while (done < bytes) {
    const ssize_t count =
        ::pread(descriptor_, static_cast<char*>(out) + done, static_cast<size_t>(bytes - done), offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read");
    if (count == 0) break;
    done += count;
  }
  return done;
}

void PosixFile::write(const void* data, int64_t bytes) {
  for (int64_t done = 0; done < bytes;) {
    const ssize_t count =
        ::write(descriptor_, static_cast<const char*>(data) + done, static_cast<size_t>(bytes - done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    done += count;
  }
}

void PosixFile::write_at(const void* data, int64_t bytes, int64_t offset) {
  if (::lseek(descriptor_, offset, SEEK_SET) < 0) fail("seek in");
  write(data, bytes);
}

void PosixFile::sync() {
  if (::fsync(descriptor_) != 0) fail("sync");
}

void rename_durably(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    raise<DataError>("cannot rename {} to {}: {}", from, to, std::strerror(errno));
  }
  const std::string parent = std::filesystem::absolute(to).parent_path().string();
  PosixFile::open(parent).sync();
}

std::string read_text_file(const std::string& path) {
  PosixFile file = PosixFile::open(path);
  std::string text(static_cast<size_t>(file.size()), '\0');
  text.resize(static_cast<size_t>(file.read(text.data(), static_cast<int64_t>(text.size()))));
  return text;
}

void write_text_file(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".partial";
  try {
    PosixFile file = PosixFile::create(temporary);
    file.write(text.data(), static_cast<int64_t>(text.size()));
    file.sync();
    rename_durably(temporary, path);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

}  // namespace moe
