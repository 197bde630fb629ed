// One id per byte value.
#pragma once
#include "data/tokenizer.h"

namespace moe {

class ByteTokenizer : public Tokenizer {
 public:
  static std::unique_ptr<Tokenizer> from_json(const Json& description);
  static std::unique_ptr<Tokenizer> make(const TrainingText& text, const TokenizerOptions& options = {});

  std::string_view name() const override { return "byte"; }
  int64_t vocab_size() const override { return 256; }
  Json to_json() const override;
  std::optional<std::vector<int32_t>> bytes_by_id() const override { return std::vector<int32_t>(256, 1); }

 protected:
  int64_t encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                      TokenMeasures* measures) const override;
  void append_bytes(int32_t id, std::string& bytes) const override { bytes += static_cast<char>(id); }
};

}  // namespace moe
