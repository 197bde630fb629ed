#include "data/document_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "data/corpus_manifest.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

class Lister {
 public:
  explicit Lister(const std::string& folder) : folder_(folder) {}

  std::vector<std::string> all() {
    list("");
    return std::move(files_);
  }

 private:
  // `relative`: "" or the path of a folder in folder_, with a slash at its end.
  void list(const std::string& relative) {
    const std::string path = folder_ + "/" + relative;
    const struct stat own = inspect(path);
    if (!seen_.emplace(own.st_dev, own.st_ino).second) return;
    for (const std::string& name : names_in(path)) {
      const struct stat status = inspect(path + name);
      if (S_ISDIR(status.st_mode)) {
        list(relative + name + "/");
      } else if (S_ISREG(status.st_mode)) {
        files_.push_back(relative + name);
      } else {
        raise<DataError>("{} is neither a file nor a folder; remove it or give the files by name", path + name);
      }
    }
  }
  static struct stat inspect(const std::string& path) {
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0) {
      raise<DataError>("cannot read {}: {}{}", path, std::strerror(errno),
                       fs::is_symlink(path) ? "; it is a link, remove it or what it lacks" : "");
    }
    return status;
  }
  static std::vector<std::string> names_in(const std::string& path) {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (!name.starts_with('.')) names.push_back(name);
    }
    if (error) raise<DataError>("cannot list {}: {}", path, error.message());
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string folder_;
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::vector<std::string> files_;
};

}  // namespace

std::vector<std::string> document_files(const std::string& folder) {
  if (CorpusManifest::exists_in(folder)) {
    raise<DataError>("{} is a prepared corpus; train on it with data.path, or give the texts it was made from", folder);
  }
  std::vector<std::string> files = Lister(folder).all();
  if (files.empty()) raise<DataError>("{} holds no files (hidden ones are skipped)", folder);
  return files;
}

}  // namespace moe
