// Tokens made by another program; only the vocabulary's size is known. Decodes to the ids themselves, written as text.
#pragma once
#include "data/tokenizer.h"

namespace moe {

class ExternalTokenizer : public Tokenizer {
 public:
  explicit ExternalTokenizer(int64_t vocab_size);
  static std::unique_ptr<Tokenizer> from_json(const Json& description);

  std::string_view name() const override { return "external"; }
  int64_t vocab_size() const override { return vocab_size_; }
  Json to_json() const override;

 protected:
  [[noreturn]] int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                                   TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override;

 private:
  int64_t vocab_size_;
};

}  // namespace moe
