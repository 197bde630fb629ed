#include "data/text_input.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "data/content_hash.h"
#include "data/csv_record.h"
#include "data/document_files.h"

namespace moe {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{64} << 20;

// The stored bytes of all inputs whose size is known before they are read.
static int64_t stored_bytes_of(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  int64_t bytes = 0;
  std::error_code error;
  for (const std::string& path : paths) {
    if (!fs::is_directory(path, error)) {
      if (fs::is_regular_file(path, error)) bytes += static_cast<int64_t>(fs::file_size(path, error));
      continue;
    }
    for (const std::string& file : document_files(path)) {
      bytes += static_cast<int64_t>(fs::file_size(path + "/" + file, error));
    }
  }
  return bytes;
}

TextInput::TextInput(std::vector<std::string> paths, const TextInputOptions& options) : paths_(std::move(paths)) {
  if (paths_.empty()) raise<DataError>("no input files");
  if (options.progress) options.progress->begin("reading", stored_bytes_of(paths_));
  for (const std::string& path : paths_) {
    if (path != "-" && std::filesystem::is_directory(path)) {
      description_.push_back(add_folder(path, options));
      continue;
    }
    const int64_t before = total_bytes_;
    InputFile file(path, options.copies);
    const std::string name = file.is_copy() ? "-" : std::filesystem::path(path).filename().string();
    source_names_.push_back(name);
    description_.push_back(add_file(std::move(file), name, options.documents, options));
    if (total_bytes_ == before && paths_.size() > 1) log::warn("{} is empty", path);
  }
  if (total_bytes_ == 0) raise<DataError>("{}: empty, or without text", join(paths_, ", "));
}

void TextInput::end_document(DocumentHasher& hasher) {
  const int64_t bytes = hasher.bytes();
  if (bytes == 0) return;
  is_duplicate_.push_back(!documents_.insert(hasher.end()));
  if (!is_duplicate_.back()) return;
  ++duplicates_, --total_documents_;
  duplicate_bytes_ += bytes, total_bytes_ -= bytes;
}

// Reads a file to its end. Its description has what decides on the text: the stored bytes and how they are read.
Json TextInput::add_file(InputFile file, const std::string& name, bool is_document, const TextInputOptions& options) {
  const TextSource& source = sources_.emplace_back(recognise_text(std::move(file), options.field, is_document));
  DocumentStream stream(source);
  DocumentHasher hasher;
  std::string text;
  std::vector<size_t> begins;
  while (stream.read(text, begins)) {
    total_bytes_ += std::ssize(text);
    total_documents_ += std::ssize(begins);
    if (options.deduplicate) {
      for_each_part(text, begins, [&](std::string_view part, bool is_begin) {
        if (is_begin) end_document(hasher);
        hasher.add(part);
      });
    }
    text.clear();
    begins.clear();
    if (options.progress) options.progress->set(stored_bytes_ + stream.bytes().stored_bytes());
  }
  end_document(hasher);
  stored_bytes_ += stream.bytes().stored_bytes();
  const ByteStream& bytes = stream.bytes();
  Json described = {{"file", name}, {"bytes", bytes.stored_bytes()}, {"xxh64", format_hash(bytes.stored_hash())}};
  if (!bytes.compression().empty()) described["compression"] = bytes.compression();
  if (!source.text_field.empty()) described["text_field"] = source.text_field;
  if (source.chat) described["chat"] = source.chat->to_json();
  if (source.format == TextFormat::columns) described["columns"] = source.separator == kCsv ? "csv" : "tsv";
  if (stream.had_mark()) described["byte_order_mark"] = true;
  return described;
}

// A folder may have very many files, so its description is one hash of all of theirs.
Json TextInput::add_folder(const std::string& path, const TextInputOptions& options) {
  const std::vector<std::string> files = document_files(path);
  const std::string name = std::filesystem::absolute(path + "/").lexically_normal().parent_path().filename().string();
  ContentHash hash;
  int64_t bytes = 0;
  for (const std::string& file : files) {
    source_names_.push_back(name + "/" + file);
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
      source_begins_.push_back(offset_ + static_cast<int64_t>(buffer_.size()));
    }
    const size_t before = buffer_.size();
    std::vector<size_t> begins;
    const bool more = stream_->read(buffer_, begins);
    leave_out(before, begins);
    for (const size_t place : begins) documents_.push_back(offset_ + static_cast<int64_t>(place));
    if (!more) stream_.reset();
    if (buffer_.size() > before) return true;
  }
}

// Removes the duplicates among the documents of the buffer's text from `before` on.
void TextReader::leave_out(size_t before, std::vector<size_t>& begins) {
  if (input_.duplicates() == 0) return;
  std::string kept;
  std::vector<size_t> kept_begins;
  const std::string_view added = std::string_view(buffer_).substr(before);
  for (size_t& begin : begins) begin -= before;
  for_each_part(added, begins, [&](std::string_view part, bool is_begin) {
    num_documents_ += is_begin;
    if (input_.leaves_out(num_documents_ - 1)) return;
    if (is_begin) kept_begins.push_back(before + kept.size());
    kept += part;
  });
  buffer_.replace(before, added.size(), kept);
  begins = kept_begins;
}

bool TextReader::document_begins_at(int64_t offset) const {
  return !documents_.empty() && documents_.front() == offset;
}

int64_t TextReader::source_of(int64_t offset) const {
  const auto next = std::upper_bound(source_begins_.begin(), source_begins_.end(), offset);
  return std::max<int64_t>(next - source_begins_.begin() - 1, 0);
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
  const auto next = std::upper_bound(documents_.begin(), documents_.end(), offset_);
  if (next != documents_.end() && *next - offset_ <= std::ssize(rest))
    return take(static_cast<size_t>(*next - offset_));
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
