#include "core/checkpoint/scratch_folder.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"

namespace moe {

// mkdtemp() replaces six of these by what makes the name unique.
ScratchFolder::ScratchFolder(const std::string& beginning) : path_(beginning + "." + std::string(6, 'X')) {
  if (!::mkdtemp(path_.data())) raise<CheckpointError>("cannot create {}: {}", path_, std::strerror(errno));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace moe
