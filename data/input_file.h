// A file that a user names as input. What can be read only once, such as a pipe, is copied to a temporary file first.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "data/posix_file.h"

namespace moe {

class InputFile {
 public:
  // `path`: a file, a pipe such as /dev/stdin may be, a terminal, or "-" for standard input. Throws DataError when it
  // cannot be opened, is a folder or a device, or is a pipe that cannot be copied. Such copies are made in the folder
  // that TMPDIR names, or else in `copies`, or else in /var/tmp.
  explicit InputFile(const std::string& path, const std::string& copies = {});

  // As the user wrote it.
  const std::string& path() const { return path_; }
  // Whether it is a copy of something without a name of its own, such as standard input.
  bool is_copy() const { return copy_ != nullptr; }
  // Opens the stored bytes, from their start at every call.
  PosixFile open() const;

 private:
  std::string path_;
  std::shared_ptr<const PosixFile> copy_;  // null: the file at path_. A copy has no name and ends with this object
};

// Returns the file `name` in `folder`, plain or with an ending that compressed files have (.gz, .xz, .zst); nothing if
// there is none. How a file is compressed is recognised by its content, not by its ending.
std::optional<std::string> find_input(const std::string& folder, const std::string& name);

}  // namespace moe
