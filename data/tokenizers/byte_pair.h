// Byte-level byte-pair encoding with GPT-2's rule for words (Radford et al., 2019; Sennrich et al., 2016). A word's
// bytes are merged pair by pair; the pair that was learned first is merged first. Accepts any bytes, and decoding
// restores them.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/integer.h"
#include "data/tokenizer.h"
#include "data/tokenizers/word_pattern.h"

namespace moe {

class BytePairTokenizer : public Tokenizer {
 public:
  static constexpr const char* kEndOfDocument = "<|endoftext|>";

  // The contents of the vocabulary files. Tokens are spelled as in the files: each byte as its own visible character.
  struct Vocabulary {
    std::vector<std::string> tokens;  // in the order of their ids
    std::vector<std::string> merges;  // "left right", the first learned first
  };
  // Throws DataError for a byte without a token, a token that occurs twice, a merge that involves something other than
  // tokens, and too many tokens.
  explicit BytePairTokenizer(Vocabulary vocabulary);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  // options.vocabulary: the folder of GPT-2's files (byte_pair_files.h); or options.vocab_size: the size of a
  // vocabulary that is learned (byte_pair_training.h).
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options);
  static bool is_vocabulary(const std::string& path);

  std::string_view name() const override { return "bpe"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(bytes_.size()); }
  Json to_json() const override;
  std::optional<std::vector<int32_t>> bytes_by_id() const override;
  std::optional<int32_t> end_of_document() const override { return end_of_document_; }

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override { bytes += bytes_[as_index(id)]; }

 private:
  struct Merge {
    int32_t rank, id;
  };
  static uint64_t next_number();
  const Merge* find_merge(int32_t left, int32_t right) const;
  void merge_word(std::string_view word, std::vector<int32_t>& ids) const;

  Vocabulary vocabulary_;
  std::vector<std::string> bytes_;  // the bytes of each id; empty for marks
  std::vector<int32_t> byte_ids_;   // the token of each byte
  std::unordered_map<uint64_t, Merge> merges_;
  std::optional<int32_t> end_of_document_;
  WordPattern pattern_;
  const uint64_t number_ = next_number();  // of this object, for the words that threads remember
};

}  // namespace moe
