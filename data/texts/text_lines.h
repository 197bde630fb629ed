// What the readers of labelled texts share: files found, labels by name.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/lines.h"
#include "data/texts/text_set.h"

namespace moe {

// folder/name or folder/name.gz, the one that is there.
std::optional<std::string> find_text_file(const std::string& folder, const std::string& name);

// The first line, "" of an empty file.
std::string first_line(const std::string& path);

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
