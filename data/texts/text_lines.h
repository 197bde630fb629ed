// What the readers of labelled texts share: files found, lines counted, labels by name.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "data/texts/text_set.h"

namespace moe {

// folder/name or folder/name.gz, the one that is there.
std::optional<std::string> find_text_file(const std::string& folder, const std::string& name);

// Calls visit(line, its number from 1 on) for every line of a file, which may be compressed; line ends \n and \r\n are
// taken off, empty lines left out. DataError for a file that cannot be read.
void for_each_line(const std::string& path, const std::function<void(std::string_view, int64_t)>& visit);
// The first line, "" of an empty file.
std::string first_line(const std::string& path);

// "PATH:LINE: ..." as a DataError.
template <class... Arguments>
[[noreturn]] void refuse_line(const std::string& path, int64_t line, fmt::format_string<Arguments...> format,
                              Arguments&&... arguments) {
  raise<DataError>("{}:{}: {}", path, line, fmt::format(format, std::forward<Arguments>(arguments)...));
}

// A whole number from 0 to `largest`; DataError that calls it `what` for anything else.
int32_t label_from(std::string_view field, int32_t largest, const std::string& path, int64_t line, const char* what);

// A labelled text before the names of the classes are known.
struct NamedText {
  std::string label, text;
  int64_t line = 0;
};
// Files of named labels -> sets. The classes are the training file's labels, in order of size where all are whole
// numbers, else of the alphabet; another label in the others is a DataError. Files may be absent.
TextFiles with_named_labels(const std::string& folder, const std::string& ending,
                            std::vector<NamedText> (*read)(const std::string& path));

}  // namespace moe
