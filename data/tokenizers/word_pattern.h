// Cuts text into the words that byte pairs are merged within, by GPT-2's rule: contractions, then runs of letters, of
// digits, of anything else that is visible, each with the one blank before it, then blanks. What is a letter or a digit
// is Unicode's business and PCRE2's.
#pragma once
#include <functional>
#include <memory>
#include <string_view>

namespace moe {

class WordPattern {
 public:
  WordPattern();  // throws DataError in a build without PCRE2
  ~WordPattern();

  // Consecutive words, all of `text` together. Bytes that are not UTF-8 are words of their own, one byte each.
  void for_each_word(std::string_view text, const std::function<void(std::string_view word)>& visit) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace moe
