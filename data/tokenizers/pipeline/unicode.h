// What the stages of a tokenizer.json need of Unicode, by ICU: properties of characters, normal forms and regular
// expressions. All texts are valid UTF-8.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "data/tokenizers/pipeline/aligned_text.h"

namespace moe {

// Throws DataError in a build without ICU.
void require_icu();

// The character that begins at text[at], which is moved behind it.
char32_t next_character(std::string_view text, size_t& at);
void append_character(char32_t character, std::string& text);

bool is_white_space(char32_t c);     // White_Space
bool is_word_character(char32_t c);  // what \w matches
bool is_numeric(char32_t c);         // general categories Nd, Nl and No

// Hugging Face's library has older tables for the following: what is newer than their version of Unicode has no such
// property, and a normal form leaves it as it is. ICU's tables know the version of each character.
bool is_bert_control(char32_t c);  // general categories Cc, Cf, Co and Cs of Unicode 8.0
bool is_bert_accent(char32_t c);   // general category Mn of Unicode 8.0
bool is_punctuation(char32_t c);   // ASCII's, and general category P of Unicode 8.0
bool is_mark(char32_t c);          // general category M of Unicode 9.0
enum class NormalForm { nfc, nfd, nfkc, nfkd };
AlignedText normalised(AlignedText text, NormalForm form);  // of Unicode 9.0

// The lower case of one character, whatever follows it, as Rust's char::to_lowercase.
void append_lower_case(char32_t c, std::string& text);

// Visits the grapheme clusters, which together are the text: what a reader takes for one character.
void for_each_grapheme(std::string_view text, const std::function<void(size_t begin, size_t end)>& visit);

// A string or regular expression that is searched for in texts. Copies share the compiled expression; threads may
// search at the same time.
class TextPattern {
 public:
  static TextPattern literal(std::string text);
  // Throws DataError for an expression that ICU rejects. `by_line`: ^ and $ match at the ends of lines (\n), as in
  // Oniguruma, with which Hugging Face's tokenizers search; otherwise at those of the text, as in Rust.
  static TextPattern regex(const std::string& expression, bool by_line = true);

  using Visitor = std::function<void(size_t begin, size_t end)>;
  // Visits the matches from left to right; none overlap.
  void for_each_match(std::string_view text, const Visitor& visit) const;

 private:
  struct Compiled;
  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;  // null for a literal
};

}  // namespace moe
