// Cuts text into the words within which byte pairs are merged, by GPT-2's rule: contractions, then runs of letters, of
// digits, or of other visible characters, each with one preceding blank, then blanks. PCRE2's Unicode tables define
// letters and digits.
#pragma once
#include <functional>
#include <memory>
#include <string_view>

namespace moe {

class WordPattern {
 public:
  WordPattern();  // throws DataError in a build without PCRE2
  ~WordPattern();

  // Visits consecutive words, which together are all of `text`. Bytes that are not UTF-8 are words of one byte each.
  void for_each_word(std::string_view text, const std::function<void(std::string_view word)>& visit) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace moe
