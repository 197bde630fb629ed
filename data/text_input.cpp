#include "data/text_input.h"

#include <algorithm>

#include "core/base/check.h"

namespace moe {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{64} << 20;

TextInput::TextInput(std::vector<std::string> paths) : paths_(std::move(paths)) {
  if (paths_.empty()) raise<DataError>("no input files");
  for (const std::string& path : paths_) {
    PosixFile file = PosixFile::open(path);
    char probe = 0;
    file.read(&probe, 1);  // reports at once an input that cannot be read, such as a folder
    sizes_.push_back(file.size());
    total_bytes_ += sizes_.back();
  }
  if (total_bytes_ == 0) raise<DataError>("{}: empty", paths_.front());
}

bool TextReader::refill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  while (true) {
    if (!file_) {
      if (next_file_ == input_.paths().size()) return false;
      file_ = PosixFile::open(input_.paths()[next_file_++]);
    }
    const size_t before = buffer_.size();
    buffer_.resize(before + kPieceBytes);
    const int64_t count = file_->read(buffer_.data() + before, static_cast<int64_t>(kPieceBytes));
    buffer_.resize(before + static_cast<size_t>(count));
    if (count > 0) return true;
    file_.reset();
  }
}

std::string_view TextReader::take(size_t bytes) {
  const std::string_view result(buffer_.data() + begin_, bytes);
  begin_ += bytes;
  offset_ += static_cast<int64_t>(bytes);
  return result;
}

// Finds the last run of blanks and line ends whose first character is one of `separators` and that has text before it.
// Returns where it begins, or 0 if there is none.
static size_t end_of_last_word(std::string_view text, std::string_view separators) {
  constexpr std::string_view kBlanks = " \n\t\r\v\f";
  for (size_t i = text.find_last_of(separators); i != text.npos && i > 0; i = text.find_last_of(separators, i - 1)) {
    if (kBlanks.find(text[i - 1]) == kBlanks.npos) return i;
  }
  return 0;
}

std::string_view TextReader::next_piece(int64_t limit) {
  const auto wanted = static_cast<size_t>(std::clamp<int64_t>(limit, 0, static_cast<int64_t>(kPieceBytes)));
  bool more = true;
  while (more && buffer_.size() - begin_ <= wanted) more = refill();
  std::string_view rest(buffer_.data() + begin_, std::min(wanted, buffer_.size() - begin_));
  if (!more && rest.size() == buffer_.size() - begin_) return take(rest.size());
  if (static_cast<int64_t>(rest.size()) == limit) return take(rest.size());
  for (const std::string_view separators : {"\n", " \n"}) {
    if (const size_t end = end_of_last_word(rest, separators); end > 0) return take(end);
  }
  return take(rest.size());
}

std::optional<std::string_view> TextReader::next_line() {
  size_t searched = begin_;
  while (true) {
    if (const size_t end = buffer_.find('\n', searched); end != std::string::npos) return take(end + 1 - begin_);
    const size_t length = buffer_.size() - begin_;
    if (length > kMaxLineBytes) {
      raise<DataError>("{}: a line longer than {} bytes; is the input text?", input_.paths()[next_file_ - 1],
                       kMaxLineBytes);
    }
    if (!refill()) {
      if (buffer_.size() == begin_) return std::nullopt;
      return take(buffer_.size() - begin_);
    }
    searched = begin_ + length;
  }
}

}  // namespace moe
