#include "data/tokenizers/external.h"

#include <limits>

#include "core/base/json.h"

namespace moe {

ExternalTokenizer::ExternalTokenizer(int64_t vocab_size) : vocab_size_(vocab_size) {
  if (vocab_size < 1 || vocab_size > std::numeric_limits<int32_t>::max()) {
    raise<DataError>("a vocabulary of {} tokens is not supported", vocab_size);
  }
}

std::unique_ptr<Tokenizer> ExternalTokenizer::from_json(const Json& description) {
  return std::make_unique<ExternalTokenizer>(description.at("vocab_size").get<int64_t>());
}

int64_t ExternalTokenizer::encode_text(std::string_view, int64_t, std::vector<int32_t>&, TokenMeasures*) const {
  raise<DataError>("this corpus was tokenised by another program, so text cannot be encoded here");
}

void ExternalTokenizer::append_bytes(int32_t id, std::string& bytes) const {
  if (!bytes.empty()) bytes += ' ';
  bytes += std::to_string(id);
}

Json ExternalTokenizer::to_json() const {
  return {{"name", "external"}, {"vocab_size", vocab_size_}};
}

}  // namespace moe
