#include "data/headed_file.h"

#include <unistd.h>

namespace moe {

HeadedFile::HeadedFile(const std::string& path)
    : path_(path), temporary_(path + ".partial"), file_(PosixFile::create(temporary_)) {
  const TokenHeader header = {};
  try {
    file_.write(header.data(), kTokenHeaderBytes);
  } catch (...) {
    ::unlink(temporary_.c_str());
    throw;
  }
}

HeadedFile::~HeadedFile() {
  if (!finished_) ::unlink(temporary_.c_str());
}

void HeadedFile::append(const void* data, int64_t bytes) {
  hash_.update(data, bytes);
  file_.write(data, bytes);
}

void HeadedFile::finish(const TokenHeader& header) {
  file_.write_at(header.data(), kTokenHeaderBytes, 0);
  file_.sync();
  rename_durably(temporary_, path_);
  finished_ = true;
}

}  // namespace moe
