#include "data/tokenizers/byte.h"

#include "core/base/json.h"

namespace moe {

std::unique_ptr<Tokenizer> ByteTokenizer::from_json(const Json&) {
  return std::make_unique<ByteTokenizer>();
}

std::unique_ptr<Tokenizer> ByteTokenizer::make(const TrainingText&, const TokenizerOptions& options) {
  refuse_foreign(options, "byte", "");
  return std::make_unique<ByteTokenizer>();
}

int64_t ByteTokenizer::encode_text(std::string_view text, int64_t, std::vector<int32_t>& ids, TokenMeasures*) const {
  const size_t before = ids.size();
  ids.resize(before + text.size());
  for (size_t i = 0; i < text.size(); ++i) ids[before + i] = static_cast<unsigned char>(text[i]);
  return 0;
}

Json ByteTokenizer::to_json() const {
  return {{"name", "byte"}};
}

}  // namespace moe
