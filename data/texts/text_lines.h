// Functions shared by the readers of labelled texts: labels by number and by name.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/input_file.h"
#include "data/lines.h"
#include "data/texts/text_set.h"

namespace moe {

// Returns the first line, "" for an empty file.
std::string first_line(const std::string& path);

// Parses a whole number from 0 to `largest`. Throws DataError that calls it `what` for anything else.
int32_t label_from(std::string_view field, int32_t largest, const std::string& path, int64_t line, const char* what);

// A labelled text, before the names of the classes are known.
struct NamedText {
  std::string label, text;
  int64_t line = 0;
};
// Converts files of named labels to sets. The classes are the training file's labels, in numerical order if all are
// whole numbers, otherwise in alphabetical order. Throws DataError for a label in the other files that the training
// file lacks. Files may be absent.
TextFiles with_named_labels(const std::string& folder, const std::string& ending,
                            std::vector<NamedText> (*read)(const std::string& path));

}  // namespace moe
