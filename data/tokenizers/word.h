// One id per word, where words are separated by blanks. The end of a line is a token too, as in the word-level WikiText
// corpora; the number of blanks is lost. Words that occur fewer than `min_count` times in the training text become
// <unk>, and their spelling is lost: perplexities of such a text do not account for it, bits per character do
// (data/unknown_text.h).
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "data/tokenizer.h"

namespace moe {

class WordTokenizer : public Tokenizer {
 public:
  static constexpr const char* kUnknown = "<unk>";
  static constexpr const char* kLineEnd = "<eos>";

  // `words` in the order of their ids. Throws DataError unless they begin with <unk> and <eos>, and for a word that is
  // empty, contains a blank, or occurs twice.
  explicit WordTokenizer(std::vector<std::string> words);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  // Uses options.min_count. The most frequent words come first; words of equal frequency are in byte order.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);

  std::string_view name() const override { return "word"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(words_.size()); }
  Json to_json() const override;

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views of words_
};

}  // namespace moe
