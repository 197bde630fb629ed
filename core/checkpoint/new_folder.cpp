#include "core/checkpoint/new_folder.h"

#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/checkpoint/files.h"

namespace moe {

namespace fs = std::filesystem;

static std::string without_slash(const std::string& path) {
  return (fs::path(path) / "").lexically_normal().parent_path().string();
}

NewFolder::NewFolder(const std::string& target) : target_(without_slash(target)), temporary_(target_ + ".tmp") {
  std::error_code error;
  if (fs::exists(target_, error) && !(fs::is_directory(target_, error) && fs::is_empty(target_, error)))
    raise<CheckpointError>("{} exists and is not an empty folder; name another one", target_);
  fs::remove_all(temporary_, error);  // left by a process that was killed
  make_folder(temporary_);
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

void NewFolder::finish() {
  std::error_code error;
  sync_folder(temporary_);
  fs::remove(target_, error);  // an empty folder
  fs::rename(temporary_, target_, error);
  if (error) raise<CheckpointError>("cannot rename {} to {}: {}", temporary_, target_, error.message());
  temporary_.clear();
  sync_folder(fs::absolute(target_).parent_path().string());
}

}  // namespace moe
