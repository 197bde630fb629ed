#include "core/checkpoint/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "core/base/check.h"

namespace moe {

[[noreturn]] static void fail(const char* what, const std::string& path, int error) {
  raise<CheckpointError>("cannot {} {}: {}", what, path, std::strerror(error));
}

void write_synced(const std::string& path, const std::function<void(const FileSink&)>& write) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail("create", path, errno);
  try {
    write([&](const void* data, size_t bytes) {
      const char* from = static_cast<const char*>(data);
      while (bytes > 0) {
        const ssize_t done = ::write(file, from, std::min<size_t>(bytes, size_t{1} << 30));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) fail("write", path, errno);
        from += done;
        bytes -= static_cast<size_t>(done);
      }
    });
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

void replace_text(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".tmp";
  write_text_synced(temporary, text);
  if (::rename(temporary.c_str(), path.c_str()) != 0) fail("rename to", path, errno);
  sync_folder(std::filesystem::path(path).parent_path().string());
}

void sync_folder(const std::string& path) {
  const int folder = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) fail("open the folder", path, errno);
  ::fsync(folder);  // some file systems refuse it for folders; there the rename alone has to be safe
  ::close(folder);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()).good()) raise<CheckpointError>("cannot read {}", path);
  return text.str();
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) raise<CheckpointError>("cannot create the folder {}: {}", path, error.message());
}

}  // namespace moe
