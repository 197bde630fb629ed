// Plain files with errors that name the path and what the system said. Unbuffered: callers hand over large
// blocks.
#pragma once
#include <cstdint>
#include <string>

namespace moe {

class PosixFile {
 public:
  static PosixFile open(const std::string& path);    // for reading
  static PosixFile create(const std::string& path);  // for writing; truncates

  PosixFile(PosixFile&& other) noexcept;
  PosixFile& operator=(PosixFile&& other) noexcept;
  ~PosixFile();

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  int64_t size() const;

  // Fills `out` as far as the file goes; returns the number of bytes read.
  int64_t read(void* out, int64_t bytes);
  void write(const void* data, int64_t bytes);
  void write_at(const void* data, int64_t bytes, int64_t offset);
  void sync();

 private:
  PosixFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  [[noreturn]] void fail(const char* action) const;

  std::string path_;
  int descriptor_ = -1;
};

// A finished name for a finished file or folder: survives a crash right after (the parent folder is synced
// too).
void rename_durably(const std::string& from, const std::string& to);

// The whole of a small file / a small file written under a temporary name, synced and renamed.
std::string read_text_file(const std::string& path);
void write_text_file(const std::string& path, const std::string& text);

}  // namespace moe
