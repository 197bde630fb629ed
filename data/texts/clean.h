// Normalisations of a text before it is cut into tokens.
#pragma once
#include <string>
#include <string_view>

#include "core/base/table.h"

namespace moe {

// A line of the table, which data.labelled.clean names.
struct TextCleaning {
  const char* name;
  std::string (*clean)(std::string_view text);
};
const Table<TextCleaning>& text_cleanings();

// As Wikipedia was cleaned for text8 (M. Mahoney, "About the test data", 2006): letters in lower case, digits as words,
// everything else, UTF-8 beyond ASCII included, becomes a blank, and blanks that follow one another are one. None at
// either end.
std::string clean_like_text8(std::string_view text);

}  // namespace moe
