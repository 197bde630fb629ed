// A folder for files that are only needed for a while.
#pragma once
#include <string>

namespace moe {

class ScratchFolder {
 public:
  // Creates it; its name begins like this, so it may lie beside a file or folder. Throws CheckpointError.
  explicit ScratchFolder(const std::string& beginning);
  // Removes it with all that it holds.
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace moe
