// One id per distinct byte of the training text, in byte order: text8's 27 letters become 27 ids.
#pragma once
#include <array>

#include "data/tokenizer.h"

namespace moe {

class CharacterTokenizer : public Tokenizer {
 public:
  // `alphabet`: the bytes in the order of their ids. Throws DataError when a byte occurs twice or there are none.
  explicit CharacterTokenizer(std::vector<unsigned char> alphabet);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options = {});

  std::string_view name() const override { return "char"; }
  int64_t vocab_size() const override { return static_cast<int64_t>(alphabet_.size()); }
  Json to_json() const override;
  std::optional<std::vector<int32_t>> bytes_by_id() const override { return std::vector<int32_t>(alphabet_.size(), 1); }

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  std::vector<unsigned char> alphabet_;
  std::array<int32_t, 256> ids_;  // -1: not in the alphabet
};

}  // namespace moe
