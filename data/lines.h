// Text files line by line, and errors that name the line.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace moe {

// Calls visit(line, its number counted from 1) for every line of a file, which may be compressed. Line ends, also of
// two characters (CR LF), and a byte order mark are removed, empty lines are skipped. Throws DataError for a file that
// cannot be read or is not text.
void for_each_line(const std::string& path, const std::function<void(std::string_view, int64_t)>& visit);

// Throws DataError "PATH:LINE: ...".
template <class... Arguments>
[[noreturn]] void refuse_line(const std::string& path, int64_t line, fmt::format_string<Arguments...> format,
                              Arguments&&... arguments) {
  raise<DataError>("{}:{}: {}", path, line, fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace moe
