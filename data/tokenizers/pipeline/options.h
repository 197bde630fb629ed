// Reading the stages that a tokenizer.json describes. What is not supported is refused by its name.
#pragma once
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/base/json.h"
#include "core/base/table.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

// The entry of `kinds` that the stage's "type" names.
template <class Kind>
const Kind& kind_in(const Table<Kind>& kinds, const Json& stage) {
  const auto type = stage.at("type").get<std::string>();
  if (const Kind* kind = kinds.find(type)) return *kind;
  raise<DataError>("the {} {} is not supported; supported: {}", kinds.family(), type, join(kinds.names(), ", "));
}

// Whether `json` lacks `key` or has null there.
bool is_absent(const Json& json, std::string_view key);
// The member `key`, or null.
const Json& member_or_null(const Json& json, std::string_view key);
// Throws DataError if the option is set to something that counts as true: not null, false, 0 or "".
void refuse_option(const Json& json, std::string_view key, std::string_view of);

// A pattern as tokenizer.json writes it: {"String": ...} or {"Regex": ...}, or a string; {"Rust": ...} is
// one of tiktoken's. Throws DataError for an
// expression that Oniguruma, with which Hugging Face's tokenizers search, reads differently.
TextPattern pattern_of(const Json& json);

}  // namespace moe
