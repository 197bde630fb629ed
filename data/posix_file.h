// Plain files whose errors name the path and the system's reason. Unbuffered: callers pass large blocks.
#pragma once
#include <cstdint>
#include <string>

namespace moe {

class PosixFile {
 public:
  static PosixFile open(const std::string& path);    // for reading
  static PosixFile create(const std::string& path);  // for writing; truncates
  // Takes over an open descriptor; `path` is what errors call it. Throws DataError for a negative descriptor.
  static PosixFile adopt(const std::string& path, int descriptor);
  // The same open file under another descriptor; both share one position, so read it with read_at().
  PosixFile duplicate() const;

  PosixFile(PosixFile&& other) noexcept;
  PosixFile& operator=(PosixFile&& other) noexcept;
  ~PosixFile();

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  int64_t size() const;

  // Fills `out` up to the end of the file; returns the number of bytes read.
  int64_t read(void* out, int64_t bytes);
  // The same from a position in the file; other reads are not affected, so threads may call it at the same time.
  int64_t read_at(void* out, int64_t bytes, int64_t offset) const;
  void write(const void* data, int64_t bytes);
  void write_at(const void* data, int64_t bytes, int64_t offset);
  void sync();

 private:
  PosixFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  [[noreturn]] void fail(const char* action) const;

  std::string path_;
  int descriptor_ = -1;
};

// Renames a finished file or folder to its final name. The result survives a crash right after the call, because the
// parent folder is synced too.
void rename_durably(const std::string& from, const std::string& to);

// Reads a whole small file / writes a small file under a temporary name, syncs and renames it.
std::string read_text_file(const std::string& path);
void write_text_file(const std::string& path, const std::string& text);

}  // namespace moe
