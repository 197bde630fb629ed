#include "data/texts/csv.h"

#include <algorithm>
#include <string_view>

#include "data/csv_record.h"
#include "data/file_kind.h"

namespace moe {

void for_each_csv_record(const std::string& path,
                         const std::function<void(const std::vector<std::string>&, int64_t)>& visit) {
  const std::string content = read_text_input(path);
  std::string_view rest = content;
  std::vector<std::string> fields;
  for (int64_t line = 1; !rest.empty();) {
    const std::string_view record = rest.substr(0, read_record(rest, kCsv, true, path, line, fields));
    if (fields.size() > 1 || !fields[0].empty()) visit(fields, line);
    line += std::count(record.begin(), record.end(), '\n');
    rest.remove_prefix(record.size());
  }
}

}  // namespace moe
