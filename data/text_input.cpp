#include "data/text_input.h"

#include <algorithm>
#include <filesystem>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "data/content_hash.h"
#include "data/document_files.h"

namespace moe {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{64} << 20;

TextInput::TextInput(std::vector<std::string> paths, const TextInputOptions& options) : paths_(std::move(paths)) {
  if (paths_.empty()) raise<DataError>("no input files");
  for (const std::string& path : paths_) {
    if (path != "-" && std::filesystem::is_directory(path)) {
      description_.push_back(add_folder(path, options));
      continue;
    }
    const int64_t before = total_bytes_;
    InputFile file(path);
    const std::string name = file.is_copy() ? "-" : std::filesystem::path(path).filename().string();
    description_.push_back(add_file(std::move(file), name, options.documents, options));
    if (total_bytes_ == before && paths_.size() > 1) log::warn("{} is empty", path);
  }
  if (total_bytes_ == 0) raise<DataError>("{}: empty, or without text", join(paths_, ", "));
}

// Reads a file to its end. Its description has what decides on the text: the stored bytes and how they are read.
Json TextInput::add_file(InputFile file, const std::string& name, bool is_document, const TextInputOptions& options) {
  const TextSource& source = sources_.emplace_back(recognise_text(std::move(file), options.text_field, is_document));
  DocumentStream stream(source);
  std::string text;
  std::vector<size_t> begins;
  while (stream.read(text, begins)) {
    total_bytes_ += std::ssize(text);
    text.clear();
  }
  const ByteStream& bytes = stream.bytes();
  Json described = {{"file", name}, {"bytes", bytes.stored_bytes()}, {"xxh64", format_hash(bytes.stored_hash())}};
  if (!bytes.compression().empty()) described["compression"] = bytes.compression();
  if (!source.text_field.empty()) described["text_field"] = source.text_field;
  if (stream.had_mark()) described["byte_order_mark"] = true;
  return described;
}

// A folder may have very many files, so its description is one hash of all of theirs.
Json TextInput::add_folder(const std::string& path, const TextInputOptions& options) {
  const std::vector<std::string> files = document_files(path);
  ContentHash hash;
  int64_t bytes = 0;
  for (const std::string& file : files) {
    const Json described = add_file(InputFile(path + "/" + file), file, true, options);
    const std::string text = json_text(described);
    hash.update(text.data(), std::ssize(text));
    bytes += described.at("bytes").get<int64_t>();
  }
  log::info("{}: {} files, each a document", path, files.size());
  return {{"folder", std::filesystem::absolute(path).lexically_normal().filename().string()},
          {"files", files.size()},
          {"bytes", bytes},
          {"xxh64", format_hash(hash.value())}};
}

bool TextReader::refill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  while (true) {
    if (!stream_) {
      if (next_source_ == input_.sources().size()) return false;
      stream_.emplace(input_.sources()[next_source_++]);
    }
    const size_t before = buffer_.size();
    std::vector<size_t> begins;
    const bool more = stream_->read(buffer_, begins);
    for (const size_t place : begins) documents_.push_back(offset_ + static_cast<int64_t>(place));
    if (!more) stream_.reset();
    if (buffer_.size() > before) return true;
  }
}

bool TextReader::document_begins_at(int64_t offset) const {
  return !documents_.empty() && documents_.front() == offset;
}

std::string_view TextReader::take(size_t bytes) {
  while (!documents_.empty() && documents_.front() < offset_) documents_.pop_front();
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
      raise<DataError>("{}: a line longer than {} bytes; is the input text?",
                       input_.sources()[next_source_ - 1].file.path(), kMaxLineBytes);
    }
    if (!refill()) {
      if (buffer_.size() == begin_) return std::nullopt;
      return take(buffer_.size() - begin_);
    }
    searched = begin_ + length;
  }
}

}  // namespace moe
