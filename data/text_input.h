// The text files that a corpus is made from, read front to back as if they were one. Memory use does not
// depend on their size.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/posix_file.h"

namespace moe {

class TextInput {
 public:
  // Throws DataError: no files, one that cannot be read, or all of them empty.
  explicit TextInput(std::vector<std::string> paths);

  const std::vector<std::string>& paths() const { return paths_; }
  const std::vector<int64_t>& sizes() const { return sizes_; }
  int64_t total_bytes() const { return total_bytes_; }

 private:
  std::vector<std::string> paths_;
  std::vector<int64_t> sizes_;
  int64_t total_bytes_ = 0;
};

// One pass over a TextInput.
class TextReader {
 public:
  explicit TextReader(const TextInput& input) : input_(input) {}

  // Where the next byte lies in the whole input.
  int64_t offset() const { return offset_; }

  // At most `limit` bytes (and at most a megabyte). Where more text follows the piece ends in front of the line end or
  // blank behind its last whole line, else word, if it has any: never within a run of them. Empty at the end of the
  // input. Valid until the next call.
  std::string_view next_piece(int64_t limit);
  // One line with its line end; nothing at the end of the input. Valid until the next call. A line beyond 64
  // MiB is a DataError.
  std::optional<std::string_view> next_line();

 private:
  bool refill();  // appends to the buffer; false at the end of the input
  std::string_view take(size_t bytes);

  const TextInput& input_;
  std::optional<PosixFile> file_;
  size_t next_file_ = 0;
  std::string buffer_;
  size_t begin_ = 0;  // of what has not been handed out
  int64_t offset_ = 0;
};

}  // namespace moe
