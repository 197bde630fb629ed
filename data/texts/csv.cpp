#include "data/texts/csv.h"

#include "data/file_kind.h"
#include "data/texts/text_lines.h"

namespace moe {

void for_each_csv_record(const std::string& path,
                         const std::function<void(const std::vector<std::string>&, int64_t)>& visit) {
  const std::string content = read_text_input(path);
  std::vector<std::string> fields;
  int64_t line = 1;
  for (size_t at = 0; at < content.size();) {
    const int64_t begin = line;
    fields.assign(1, "");
    // Bytes are appended to the last field until the record ends.
    for (bool ended = false; !ended;) {
      if (at < content.size() && content[at] == '"' && fields.back().empty()) {
        for (++at;; ++at) {
          if (at == content.size()) refuse_line(path, begin, "a quote is not closed");
          if (content[at] == '"' && (at + 1 == content.size() || content[at + 1] != '"')) break;
          if (content[at] == '"') ++at;  // a doubled quote stands for one
          line += content[at] == '\n';
          fields.back() += content[at];
        }
        ++at;
        if (at < content.size() && content[at] != ',' && content[at] != '\n' && content[at] != '\r') {
          refuse_line(path, line, "text follows a closing quote; expected a comma or the end of the line");
        }
      }
      if (at == content.size() || content[at] == '\n') {
        ended = true;
        ++line;
      } else if (content[at] == ',') {
        fields.emplace_back();
      } else if (content[at] != '\r' || (at + 1 < content.size() && content[at + 1] != '\n')) {
        fields.back() += content[at];
      }
      ++at;
    }
    if (fields.size() > 1 || !fields[0].empty()) visit(fields, begin);
  }
}

}  // namespace moe
