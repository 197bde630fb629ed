// A file that begins with a TokenHeader which is known only at the end. It has a temporary name until finish(), so a
// file with the final name is always complete; an unfinished one is removed.
#pragma once
#include <cstdint>
#include <string>

#include "data/content_hash.h"
#include "data/posix_file.h"
#include "data/token_file.h"

namespace moe {

class HeadedFile {
 public:
  // Throws DataError with the path and the system's reason when writing fails, as the other functions do.
  explicit HeadedFile(const std::string& path);
  HeadedFile(const HeadedFile&) = delete;
  HeadedFile& operator=(const HeadedFile&) = delete;
  ~HeadedFile();

  void append(const void* data, int64_t bytes);
  // Writes the header, syncs and renames.
  void finish(const TokenHeader& header);

  uint64_t payload_hash() const { return hash_.value(); }  // of what was appended

 private:
  std::string path_, temporary_;
  PosixFile file_;
  ContentHash hash_;
  bool finished_ = false;
};

}  // namespace moe
