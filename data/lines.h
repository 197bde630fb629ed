// Text files line by line, and errors that name the line.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace moe {

// Calls visit(line, its number from 1 on) for every line of a file, which may be compressed; line ends \n and \r\n are
// taken off, empty lines left out. DataError for a file that cannot be read.
void for_each_line(const std::string& path, const std::function<void(std::string_view, int64_t)>& visit);

// "PATH:LINE: ..." as a DataError.
template <class... Arguments>
[[noreturn]] void refuse_line(const std::string& path, int64_t line, fmt::format_string<Arguments...> format,
                              Arguments&&... arguments) {
  raise<DataError>("{}:{}: {}", path, line, fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace moe
