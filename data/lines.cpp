#include "data/lines.h"

#include <algorithm>

#include "data/file_kind.h"

namespace moe {

void for_each_line(const std::string& path, const std::function<void(std::string_view, int64_t)>& visit) {
  const std::string content = read_text_input(path);
  const std::string_view all = content;
  int64_t number = 0;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    std::string_view line = all.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    if (!line.empty()) visit(line, number);
    begin = end + 1;
  }
}

}  // namespace moe
