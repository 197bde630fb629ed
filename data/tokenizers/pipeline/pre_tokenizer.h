// The pre-tokenisers of a tokenizer.json: steps that cut a text into words, which a model then cuts into tokens.
#pragma once
#include <cstddef>
#include <deque>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/json.h"
#include "data/tokenizers/pipeline/aligned_text.h"

namespace moe {

struct Word {
  const AlignedText* source = nullptr;
  size_t begin = 0, end = 0;  // bytes of the source
  bool begins_group = true;   // how the text is cut here does not depend on what precedes
  std::string_view text() const { return source->text().substr(begin, end - begin); }
  // Whether it may be cut at byte `at` of its source: what stands for several characters together, such as a letter and
  // its accents, is one.
  bool is_between_characters(size_t at) const { return source->end_of(at) < source->end_of(at + 1); }
};

struct Words {
  std::deque<AlignedText> texts;  // that words are parts of
  std::vector<Word> all;
  bool continues = false;  // the text follows another part of the same text
  bool are_cut = false;    // by a step, so each of them is a word, also the first

  // Whether `word` is the first of the whole text.
  bool is_first(const Word& word) const { return !continues && word.source->end_of(word.begin) == 0; }
  // Whether `word` continues one of another part, so that nothing is put in front of it.
  bool is_continued(const Word& word) const { return continues && !are_cut && word.source->end_of(word.begin) == 0; }
  // Makes `word` a text of its own with `prefix` in front.
  void prepend(Word& word, std::string_view prefix);
};

class PreTokenizer {
 public:
  PreTokenizer() = default;
  // `json`: the member "pre_tokenizer", or null. Throws DataError for a kind or an option that is not supported.
  explicit PreTokenizer(const Json& json);

  // Whether the model's pieces are spelled with a visible character for each byte.
  bool byte_level() const { return byte_level_; }
  // Whether the words together are the text.
  bool keeps_text() const { return keeps_text_; }
  void apply(Words& words) const;

  using Step = std::function<void(Words& words)>;

 private:
  std::vector<Step> steps_;
  bool byte_level_ = false, keeps_text_ = true;
};

}  // namespace moe
