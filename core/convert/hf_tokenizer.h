// Tokenizers as transformers loads them: tokenizer.json and tokenizer_config.json. A tokenizer is written only if it
// gives the same ids as ours for every text that is UTF-8.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/base/json.h"

namespace moe {

struct HfTokenizer {
  std::string refusal{};            // why transformers has no tokenizer that gives the same ids; empty if it has
  Json tokenizer{}, config{};       // the contents of the two files
  std::optional<int64_t> pad_id{};  // an existing id, which no text's meaning depends on
  std::optional<int64_t> end_id{};  // that marks the end of a document
  std::string warning{};            // what is lost; empty: nothing
  std::string note{};               // for the model card: what a user of the tokenizer must know
};

// `description`: Tokenizer::to_json(). `positions`: the length of texts that the model was trained on.
HfTokenizer hf_tokenizer(const Json& description, int64_t positions);

// The way back: the description of our tokenizer that a folder's tokenizer.json stands for. One that is not supported becomes
// `external`. `rows`: of the model's embedding, which may be more than the tokenizer has ids.
struct ImportedTokenizer {
  Json description;
  int64_t tokens = 0;          // its ids
  std::string why_external{};  // why it is none of ours; empty if it is one
};
ImportedTokenizer imported_tokenizer(const std::string& folder, int64_t rows);

}  // namespace moe
