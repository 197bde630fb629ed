#include "data/document_stream.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <optional>
#include <system_error>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "data/csv_record.h"

namespace moe {

constexpr int64_t kBlockBytes = int64_t{1} << 20;
constexpr size_t kMaxLineBytes = size_t{64} << 20;

static_assert(kBlockBytes >= kTextSample, "the first block is the sample");

// Names the members of an object that could be meant, for an error.
static std::string text_members(const Json& object) {
  std::vector<std::string> names;
  for (const Json::Member& member : object.items()) {
    if (member.value.is_string() && names.size() < 10) names.push_back(member.key);
  }
  return names.empty() ? "it has no text at all" : "its texts are: " + join(names, ", ");
}

// A column's number, counted from 1.
static std::optional<int64_t> column_number(std::string_view name) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 1) return std::nullopt;
  return number;
}

// Finds the column in the first record, with tabs or with commas. `begin`: of the file, `is_all`: nothing follows.
static void recognise_columns(TextSource& source, std::string_view begin, bool is_all, const std::string& name) {
  std::vector<std::string> fields;
  std::string found;
  for (const char separator : {kTsv, kCsv}) {
    if (read_record(begin, separator, is_all, source.file.path(), 1, fields) == 0) continue;
    if (fields.size() < 2 && separator == kTsv && begin.find(kCsv) != begin.npos) continue;
    const auto place = std::find(fields.begin(), fields.end(), name);
    const auto number = column_number(name);
    if (place != fields.end()) {
      source.column = place - fields.begin();
      source.has_header = true;
    } else if (number && *number <= std::ssize(fields)) {
      source.column = *number - 1;
    } else {
      if (fields.size() > 1 && found.empty()) found = join(fields, ", ").substr(0, 200);
      continue;
    }
    source.format = TextFormat::columns;
    source.separator = separator;
    source.text_field = name;
    return;
  }
  raise<DataError>(
      "{} holds no JSON lines, and no column '{}' of CSV or TSV{}; give the name of a column of its first "
      "line, or a column's number, counted from 1, or leave --field out for plain text",
      source.file.path(), name, found.empty() ? "" : " (its first line has: " + found + ")");
}

TextSource recognise_text(InputFile file, const TextFieldOptions& field, bool is_document) {
  const std::string& text_field = field.name;
  ByteStream stream(file);
  std::string begin(as_index(stream.block_bytes(kBlockBytes)), '\0');
  begin.resize(as_index(stream.read(begin.data(), static_cast<int64_t>(begin.size()))));
  TextCheck(file.path()).begin(std::string_view(begin).substr(0, as_index(kTextSample)));
  const bool is_all = std::ssize(begin) < kBlockBytes;
  TextSource source{.file = std::move(file), .is_document = is_document};
  if (field.chat) {
    source.format = TextFormat::chats;
    source.chat = field.chat;
    return source;
  }
  if (text_field.empty()) return source;
  std::string_view text = without_mark(begin);
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  const std::string_view line = text.substr(0, text.find('\n'));
  if (line.starts_with('[') && trim(text.substr(1)).starts_with('{')) {
    log::warn(
        "{}: an array of JSON objects is read as plain text; JSON lines, an object on each line, are read by "
        "their texts",
        source.file.path());
  }
  // A longer line than was read is taken for an object by its first character; if it is none, the reader says so.
  const bool cut = line.size() == text.size() && std::ssize(begin) == kBlockBytes;
  const Json object = line.starts_with('{') && !cut ? parse_json_or_null(line) : Json();
  if (!object.is_object() && !(cut && line.starts_with("{\""))) {
    if (field.is_chosen) recognise_columns(source, without_mark(begin), is_all, text_field);
    return source;
  }
  const Json* found = object.find(text_field);
  if (object.is_object() && (!found || !found->is_string())) {
    raise<DataError>(
        "{} holds JSON lines without a text called '{}' ({}); name it with --field, or give --field '' to take the "
        "file "
        "as plain text",
        source.file.path(), text_field, text_members(object));
  }
  source.format = TextFormat::json_lines;
  source.text_field = text_field;
  return source;
}

DocumentStream::DocumentStream(const TextSource& source)
    : source_(source), bytes_(source.file), check_(source.file.path()) {}

bool DocumentStream::read(std::string& text, std::vector<size_t>& begins) {
  if (ended_) return false;
  switch (source_.format) {
    case TextFormat::plain:
      read_plain(text, begins);
      break;
    case TextFormat::json_lines:
    case TextFormat::chats:
      read_lines(text, begins);
      break;
    case TextFormat::columns:
      read_columns(text, begins);
      break;
  }
  return true;
}

// Appends a block of the file's bytes; sets ended_ with the last one.
bool DocumentStream::read_block(std::string& text) {
  const size_t before = text.size();
  const int64_t wanted = bytes_.block_bytes(kBlockBytes);
  text.resize(before + as_index(wanted));
  const int64_t count = bytes_.read(text.data() + before, wanted);
  text.resize(before + as_index(count));
  ended_ = count < wanted;
  const std::string_view block = std::string_view(text).substr(before);
  const bool first = !std::exchange(begun_, true);
  if (first) check_.begin(block.substr(0, as_index(kTextSample)));
  check_.add(block);
  if (ended_) check_.end();
  had_mark_ = had_mark_ || (first && block.starts_with(kByteOrderMark));
  if (first && had_mark_) text.erase(before, kByteOrderMark.size());
  return first;
}

void DocumentStream::read_plain(std::string& text, std::vector<size_t>& begins) {
  const size_t before = text.size();
  const bool first = read_block(text);
  if (first && text.size() > before) begins.push_back(before);
  if (text.size() > before) last_ = text.back();
  if (ended_ && source_.is_document && last_ != '\n' && last_ != '\0') text += '\n';
}

void DocumentStream::read_lines(std::string& text, std::vector<size_t>& begins) {
  size_t searched = waiting_.size();
  read_block(waiting_);
  size_t begin = 0;
  for (size_t end = 0; (end = waiting_.find('\n', std::max(begin, searched))) != waiting_.npos; begin = end + 1) {
    add_line(std::string_view(waiting_).substr(begin, end - begin), text, begins);
    searched = 0;
  }
  waiting_.erase(0, begin);
  check_waiting();
  if (ended_ && !waiting_.empty()) add_line(waiting_, text, begins);
}

void DocumentStream::check_waiting() const {
  if (waiting_.size() > kMaxLineBytes) {
    raise<DataError>("{}:{}: a line longer than {} bytes", source_.file.path(), line_ + 1, kMaxLineBytes);
  }
}

static void add_document(std::string_view document, std::string& text, std::vector<size_t>& begins) {
  if (document.empty()) return;
  begins.push_back(text.size());
  text += document;
  if (document.back() != '\n') text += '\n';
}

void DocumentStream::read_columns(std::string& text, std::vector<size_t>& begins) {
  read_block(waiting_);
  std::string_view rest = waiting_;
  while (!rest.empty()) {
    const size_t bytes = read_record(rest, source_.separator, ended_, source_.file.path(), line_ + 1, fields_);
    if (bytes == 0) break;
    if (fields_.size() > 1 || !trim(fields_[0]).empty()) add_record(text, begins);
    line_ += std::count(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(bytes), '\n');
    rest.remove_prefix(bytes);
  }
  waiting_.erase(0, waiting_.size() - rest.size());
  check_waiting();
}

void DocumentStream::add_record(std::string& text, std::vector<size_t>& begins) {
  if (source_.has_header && !std::exchange(had_header_, true)) return;
  if (source_.column >= std::ssize(fields_)) {
    raise<DataError>("{}:{}: {} columns; expected the text in column {}", source_.file.path(), line_ + 1,
                     fields_.size(), source_.column + 1);
  }
  add_document(fields_[as_index(source_.column)], text, begins);
}

void DocumentStream::add_line(std::string_view line, std::string& text, std::vector<size_t>& begins) {
  ++line_;
  if (trim(line).empty()) return;
  const Json object = parse_json_or_null(line);
  if (source_.chat) {
    try {
      return add_document(source_.chat->render(object), text, begins);
    } catch (const DataError& error) {
      raise<DataError>("{}:{}: {}", source_.file.path(), line_, error.what());
    }
  }
  const Json* found = object.find(source_.text_field);
  if (!found || !found->is_string()) {
    raise<DataError>("{}:{}: {}; expected a JSON object with a text '{}', as on the lines before", source_.file.path(),
                     line_, object.is_object() ? text_members(object) : "is not a JSON object", source_.text_field);
  }
  add_document(found->get<std::string>(), text, begins);
}

}  // namespace moe
