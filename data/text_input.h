// The text files that a corpus is made from, read in order as if they were one file. Memory use does not depend on
// their size.
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
  // Throws DataError when there are no files, one cannot be read, or all of them are empty.
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

  // The position of the next byte in the whole input.
  int64_t offset() const { return offset_; }

  // Returns at most `limit` bytes (and at most a megabyte). Where more text follows, the piece ends before the line end
  // or blank after its last whole line, or else its last whole word, if it has one; it never ends within a run of them.
  // Empty at the end of the input. Valid until the next call.
  std::string_view next_piece(int64_t limit);
  // Returns one line with its line end, or nothing at the end of the input. Valid until the next call. Throws DataError
  // for a line longer than 64 MiB.
  std::optional<std::string_view> next_line();

 private:
  bool refill();  // appends to the buffer; false at the end of the input
  std::string_view take(size_t bytes);

  const TextInput& input_;
  std::optional<PosixFile> file_;
  size_t next_file_ = 0;
  std::string buffer_;
  size_t begin_ = 0;  // start of the text that has not been returned
  int64_t offset_ = 0;
};

}  // namespace moe
