// Normalisations of a text before it is tokenised.
#pragma once
#include <string>
#include <string_view>

#include "core/base/table.h"
#include "core/base/words.h"

namespace moe {

// An entry of the table; data.labelled.clean selects it by name.
struct TextCleaning {
  const char* name;
  std::string (*clean)(std::string_view text);
};
const Table<TextCleaning>& text_cleanings();
template <>
std::vector<std::string> words_of<TextCleaning>();

// Cleans as Wikipedia was cleaned for text8 (M. Mahoney, "About the test data", 2006): letters in lower case, digits as
// words, everything else, including UTF-8 beyond ASCII, as a blank. Consecutive blanks become one, and there are none
// at either end.
std::string clean_like_text8(std::string_view text);

}  // namespace moe
