// Tokenizers in the metadata of GGUF files, as llama.cpp reads them.
#pragma once
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/convert/gguf_file.h"

namespace moe {

struct GgufVocabulary {
  std::vector<GgufEntry> metadata;
  std::string missing;  // why llama.cpp has no tokenizer that gives the same ids, so that the file has none; or empty
  std::string note;     // what a user must know
};

// `description`: Tokenizer::to_json(). `rows`: of the model's embedding; rows without a token get unused ones.
GgufVocabulary gguf_vocabulary(const Json& description, int64_t rows);

// The way back: Tokenizer::to_json() of the tokenizer that a file stands for. One that is none of ours becomes
// `external`, and `why_external` says why.
struct GgufTokenizer {
  Json description;
  int64_t tokens = 0;  // its ids; the file may have unused ones behind them
  std::string why_external;
};
GgufTokenizer tokenizer_of(const GgufFile& file, int64_t rows);

}  // namespace moe
