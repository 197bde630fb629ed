#include "data/csv_record.h"

#include "data/lines.h"

namespace moe {
namespace {

// Parses one record; the last field grows until a separator or the record's end.
class RecordParser {
 public:
  RecordParser(std::string_view text, char separator, bool is_last, const std::string& path, int64_t line,
               std::vector<std::string>& fields)
      : text_(text), separator_(separator), is_last_(is_last), path_(path), line_(line), fields_(fields) {}

  size_t parse() {
    fields_.assign(1, "");
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' && separator_ == kCsv && fields_.back().empty()) {
        if (!read_quoted()) return 0;
        continue;
      }
      ++at_;
      if (c == '\n') return at_;
      if (c == separator_) {
        fields_.emplace_back();
      } else if (c == '\r' && at_ == text_.size() && !is_last_) {
        return 0;
      } else if (c != '\r' || (at_ < text_.size() && text_[at_] != '\n')) {
        fields_.back() += c;
      }
    }
    return is_last_ ? at_ : 0;
  }

 private:
  bool read_quoted() {
    const int64_t begin = line_;
    for (++at_;; ++at_) {
      if (at_ == text_.size()) {
        if (is_last_) refuse_line(path_, begin, "a quote is not closed");
        return false;
      }
      if (text_[at_] == '"') {
        if (at_ + 1 == text_.size() && !is_last_) return false;
        if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') break;
        ++at_;  // a doubled quote stands for one
      }
      line_ += text_[at_] == '\n';
      fields_.back() += text_[at_];
    }
    ++at_;
    if (at_ < text_.size() && text_[at_] != separator_ && text_[at_] != '\n' && text_[at_] != '\r') {
      refuse_line(path_, line_, "text follows a closing quote; expected a comma or the end of the line");
    }
    return true;
  }

  std::string_view text_;
  char separator_;
  bool is_last_;
  const std::string& path_;
  int64_t line_;
  std::vector<std::string>& fields_;
  size_t at_ = 0;
};

}  // namespace

size_t read_record(std::string_view text, char separator, bool is_last, const std::string& path, int64_t line,
                   std::vector<std::string>& fields) {
  return RecordParser(text, separator, is_last, path, line, fields).parse();
}

}  // namespace moe
