#include "core/base/file_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {

static int open_new(const std::string& path) {
  return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
}

TEST_CASE("a file that is locked cannot be locked again until it is closed") {
  TemporaryFolder folder;
  const std::string path = folder / "lock";
  const int first = open_new(path), second = open_new(path);
  CHECK(lock_file(first, false) == 0);
  CHECK(lock_file(second, false) == EWOULDBLOCK);
  ::close(first);
  CHECK(lock_file(second, true) == 0);
  ::close(second);
  CHECK(lock_file(second, false) == EBADF);
}

TEST_CASE("a path leads to the open file until that is removed, renamed or replaced") {
  TemporaryFolder folder;
  const std::string path = folder / "file", link = folder / "link";
  const int file = open_new(path);
  std::filesystem::create_symlink(path, link);
  CHECK(leads_to(path, file));
  CHECK(leads_to(link, file));
  std::filesystem::rename(path, folder / "other");
  CHECK_FALSE(leads_to(path, file));
  CHECK(leads_to(folder / "other", file));
  const int replacement = open_new(path);
  CHECK_FALSE(leads_to(path, file));
  CHECK(leads_to(link, replacement));
  std::filesystem::remove(path);
  CHECK_FALSE(leads_to(path, replacement));
  ::close(file);
  ::close(replacement);
  CHECK_FALSE(leads_to(folder / "other", file));
}

}  // namespace moe
