#include "data/texts/clean.h"

namespace moe {

std::string clean_like_text8(std::string_view text) {
  static constexpr const char* kDigits[] = {"zero", "one", "two",   "three", "four",
                                            "five", "six", "seven", "eight", "nine"};
  std::string result;
  const auto end_word = [&] {
    if (!result.empty() && result.back() != ' ') result += ' ';
  };
  for (const char c : text) {
    if (c >= 'a' && c <= 'z') {
      result += c;
    } else if (c >= 'A' && c <= 'Z') {
      result += static_cast<char>(c - 'A' + 'a');
    } else {
      end_word();
      if (c >= '0' && c <= '9') {
        result += kDigits[c - '0'];
        result += ' ';
      }
    }
  }
  if (!result.empty() && result.back() == ' ') result.pop_back();
  return result;
}

const Table<TextCleaning>& text_cleanings() {
  static const Table<TextCleaning> table{
      "data.labelled.clean",
      {{"none", [](std::string_view text) { return std::string(text); }}, {"text8", clean_like_text8}}};
  return table;
}

template <>
std::vector<std::string> words_of<TextCleaning>() {
  return text_cleanings().names();
}

}  // namespace moe
