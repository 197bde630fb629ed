#include "core/checkpoint/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/base/check.h"
#include "core/base/host.h"

namespace moe {

[[noreturn]] static void fail(const char* what, const std::string& path, int error) {
  raise<CheckpointError>("cannot {} {}: {}", what, path, std::strerror(error));
}

// Calls `some(data, bytes)`, which returns the number of bytes it took or -1, until all are written.
template <class WriteSome>
static void write_all(const std::string& path, const void* data, size_t bytes, WriteSome some) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t done = some(from, std::min<size_t>(bytes, size_t{1} << 30));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) fail("write", path, errno);
    from += done;
    bytes -= static_cast<size_t>(done);
  }
}

void write_synced(const std::string& path, const std::function<void(const FileSink&)>& write,
                  const std::function<void(const FilePatch&)>& patch) {
  ::unlink(path.c_str());  // left by an interrupted process
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (file < 0) fail("create", path, errno);
  try {
    write([&](const void* data, size_t bytes) {
      write_all(path, data, bytes, [&](const char* from, size_t n) { return ::write(file, from, n); });
    });
    if (patch) {
      patch([&](const void* data, size_t bytes, size_t offset) {
        write_all(path, data, bytes, [&](const char* from, size_t n) {
          const auto done = from - static_cast<const char*>(data);
          return ::pwrite(file, from, n, static_cast<off_t>(offset) + done);
        });
      });
    }
    if (::fsync(file) != 0) fail("sync", path, errno);
  } catch (...) {
    ::close(file);
    ::unlink(path.c_str());
    throw;
  }
  if (::close(file) != 0) fail("close", path, errno);
}

void write_text_synced(const std::string& path, const std::string& text) {
  write_synced(path, [&](const FileSink& sink) { sink(text.data(), text.size()); });
}

static void replace_through(const std::string& temporary, const std::string& path, const std::string& text) {
  write_text_synced(temporary, text);
  move_into_place(temporary, path);
}

void replace_text(const std::string& path, const std::string& text) {
  replace_through(path + ".tmp", path, text);
}

void replace_shared_text(const std::string& path, const std::string& text) {
  replace_through(temporary_beside(path), path, text);
}

std::string temporary_beside(const std::string& path) {
  return path + "." + unique_token() + ".tmp";
}

void move_into_place(const std::string& temporary, const std::string& path) {
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    fail("rename to", path, error);
  }
  sync_folder(std::filesystem::path(path).parent_path().string());
}

void sync_folder(const std::string& path) {
  const int folder = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail("open the folder", path, errno);
  ::fsync(folder);  // some file systems refuse it for folders; there the rename alone has to be safe
  ::close(folder);
}

void read_blocks(const std::string& path, const FileSink& sink) {
  constexpr off_t kMost = off_t{1} << 20;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail("read", path, errno);
  struct stat status {};
  // The kernel's files say that they have no bytes.
  const bool has_size = ::fstat(file, &status) == 0 && status.st_size > 0;
  std::vector<char> block(static_cast<size_t>(std::min<off_t>(has_size ? status.st_size : kMost, kMost)));
  for (;;) {
    const ssize_t count = ::read(file, block.data(), block.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      const int error = errno;
      ::close(file);
      if (count < 0) fail("read", path, error);
      return;
    }
    sink(block.data(), static_cast<size_t>(count));
  }
}

std::string read_text(const std::string& path) {
  std::string text;
  read_blocks(path, [&](const void* data, size_t bytes) { text.append(static_cast<const char*>(data), bytes); });
  return text;
}

bool file_exists(const std::string& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::none) raise<CheckpointError>("cannot look at {}: {}", path, error.message());
  return type != std::filesystem::file_type::not_found;
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) raise<CheckpointError>("cannot create the folder {}: {}", path, error.message());
}

}  // namespace moe
