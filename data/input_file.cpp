#include "data/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "core/base/check.h"

namespace moe {

namespace fs = std::filesystem;

constexpr size_t kBlockBytes = size_t{1} << 20;

// A temporary file without a name: the system removes it when the process ends, however that ends.
static PosixFile nameless_file(const std::string& of, const std::string& otherwise) {
  const char* configured = std::getenv("TMPDIR");
  const std::string folder = configured && *configured ? configured : otherwise.empty() ? "/var/tmp" : otherwise;
  std::string pattern = folder + "/moe-data-XXXXXX";
  const int descriptor = ::mkostemp(pattern.data(), O_CLOEXEC);
  if (descriptor < 0) {
    raise<DataError>("{} can be read only once, and its copy cannot be created in {}: {}; set TMPDIR to another folder",
                     of, folder, std::strerror(errno));
  }
  ::unlink(pattern.c_str());
  return PosixFile::adopt(fmt::format("the copy of {} in {}", of, folder), descriptor);
}

static std::shared_ptr<const PosixFile> copy_of(PosixFile& pipe, const std::string& folder) {
  PosixFile copy = nameless_file(pipe.path(), folder);
  std::vector<char> block(kBlockBytes);
  while (const int64_t count = pipe.read(block.data(), static_cast<int64_t>(block.size()))) {
    copy.write(block.data(), count);
  }
  return std::make_shared<const PosixFile>(std::move(copy));
}

InputFile::InputFile(const std::string& path, const std::string& copies) : path_(path) {
  PosixFile file =
      path == "-" ? PosixFile::adopt("-", ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) : PosixFile::open(path);
  struct stat status = {};
  if (::fstat(file.descriptor(), &status) != 0) raise<DataError>("cannot inspect {}: {}", path, std::strerror(errno));
  if (S_ISDIR(status.st_mode)) raise<DataError>("cannot read {}: {}", path, std::strerror(EISDIR));
  if (S_ISREG(status.st_mode) && path != "-") return;
  // A device such as /dev/zero has no end.
  const bool ends = S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
  if (!ends && !::isatty(file.descriptor())) raise<DataError>("{} is a device; give a file, a folder or a pipe", path);
  copy_ = copy_of(file, copies);
}

PosixFile InputFile::open() const {
  return copy_ ? copy_->duplicate() : PosixFile::open(path_);
}

std::optional<std::string> find_input(const std::string& folder, const std::string& name) {
  for (const char* ending : {"", ".gz", ".xz", ".zst"}) {
    const std::string path = folder + "/" + name + ending;
    if (fs::exists(path)) return path;
  }
  return std::nullopt;
}

}  // namespace moe
