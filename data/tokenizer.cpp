#include "data/tokenizer.h"

#include "data/tokenizers/byte.h"
#include "data/tokenizers/character.h"
#include "data/tokenizers/external.h"
#include "data/tokenizers/word.h"

namespace moe {

const Table<TokenizerEntry>& tokenizers() {
  static const Table<TokenizerEntry> table(
      "tokenizer",
      {
          {"byte", "one id per byte value, 256 in all; takes any input", ByteTokenizer::from_json,
           ByteTokenizer::train},
          {"char", "one id per distinct byte of the training text", CharacterTokenizer::from_json,
           CharacterTokenizer::train},
          {"word", "one id per word between blanks, and one for the end of a line; rare words (--min-count) are <unk>",
           WordTokenizer::from_json, WordTokenizer::train},
          {"external", "tokens made by another program", ExternalTokenizer::from_json, nullptr},
      });
  return table;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) raise<DataError>("token {} is outside the vocabulary of {}", id, vocab_size());
    append_bytes(id, bytes);
  }
  return bytes;
}

std::unique_ptr<Tokenizer> load_tokenizer(const nlohmann::json& description, const std::string& origin) {
  try {
    return tokenizers().at(description.at("name").get<std::string>()).from_json(description);
  } catch (const nlohmann::json::exception& error) {
    raise<DataError>("{}: unusable tokenizer description: {}", origin, error.what());
  } catch (const Error& error) {
    raise<DataError>("{}: {}", origin, error.what());
  }
}

}  // namespace moe
