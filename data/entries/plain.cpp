#include "data/entries/plain.h"

#include "core/base/text.h"

namespace moe {

void read_line_entries(TextReader& reader, const EntryVisitor& visit) {
  while (true) {
    const int64_t offset = reader.offset();
    const auto line = reader.next_line();
    if (!line) return;
    visit(*line, offset);
  }
}

void read_paragraph_entries(TextReader& reader, const EntryVisitor& visit) {
  std::string paragraph;
  int64_t begin = 0;
  bool ended = false;
  while (true) {
    const int64_t offset = reader.offset();
    const auto line = reader.next_line();
    const bool blank = line && trim(*line).empty();
    if (!paragraph.empty() && (!line || (ended && !blank))) {
      visit(paragraph, begin);
      paragraph.clear();
    }
    if (!line) return;
    if (paragraph.empty()) begin = offset;
    paragraph += *line;
    ended = blank;
  }
}

void read_document_entries(TextReader& reader, const EntryVisitor& visit) {
  std::string document;
  int64_t begin = 0;
  while (true) {
    const int64_t offset = reader.offset();
    const auto line = reader.next_line();
    if (!document.empty() && (!line || reader.document_begins_at(offset))) {
      visit(document, begin);
      document.clear();
    }
    if (!line) return;
    if (document.empty()) begin = offset;
    document += *line;
  }
}

}  // namespace moe
