// One id per word: what stands between blanks. The end of a line is a token too, as in the word-level WikiText corpora;
// how many blanks there were is lost. Words that the training text has less than `min_count` times are <unk>, whose
// spelling is lost: perplexities of such a text say nothing of it.
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

  // `words` in the order of their ids. Throws DataError unless they begin with <unk> and <eos>, and for an empty word,
  // one with a blank in it, or one that is there twice.
  explicit WordTokenizer(std::vector<std::string> words);
  static std::unique_ptr<Tokenizer> from_json(const nlohmann::json& description);
  // options.min_count. The most frequent words first; among equals in the order of their bytes.
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);

  std::string_view name() const override { return "word"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(words_.size()); }
  nlohmann::json to_json() const override;

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      std::vector<int32_t>* lengths) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  std::vector<std::string> words_;
  std::unordered_map<std::string_view, int32_t> ids_;  // views of words_
};

}  // namespace moe
