// A folder of results that is complete or absent: it is filled under another name, which it loses in the end.
#pragma once
#include <string>

namespace moe {

class NewFolder {
 public:
  // Throws CheckpointError if `target` exists and is not an empty folder.
  explicit NewFolder(const std::string& target);
  // Removes what was written unless finish() was called.
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;

  const std::string& path() const { return temporary_; }
  void finish();

 private:
  std::string target_, temporary_;
};

}  // namespace moe
