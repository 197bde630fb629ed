#include "data/tokenizers/character.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/base/json.h"

namespace moe {

CharacterTokenizer::CharacterTokenizer(std::vector<unsigned char> alphabet) : alphabet_(std::move(alphabet)) {
  if (alphabet_.empty()) raise<DataError>("the alphabet of the char tokenizer is empty");
  ids_.fill(-1);
  for (size_t id = 0; id < alphabet_.size(); ++id) {
    if (ids_[alphabet_[id]] >= 0) raise<DataError>("byte {} occurs twice in the alphabet", alphabet_[id]);
    ids_[alphabet_[id]] = static_cast<int32_t>(id);
  }
}

std::unique_ptr<Tokenizer> CharacterTokenizer::from_json(const Json& description) {
  return std::make_unique<CharacterTokenizer>(description.at("alphabet").get<std::vector<unsigned char>>());
}

std::unique_ptr<Tokenizer> CharacterTokenizer::make(const TrainingText& text, const TokenizerOptions& options) {
  refuse_foreign(options, "char", "");
  std::array<bool, 256> seen = {};
  text([&](std::string_view piece) {
    for (const char c : piece) seen[static_cast<unsigned char>(c)] = true;
  });
  std::vector<unsigned char> alphabet;
  for (size_t byte = 0; byte < seen.size(); ++byte) {
    if (seen[byte]) alphabet.push_back(static_cast<unsigned char>(byte));
  }
  return std::make_unique<CharacterTokenizer>(std::move(alphabet));
}

int64_t CharacterTokenizer::encode_text(std::string_view text, int64_t text_offset, std::vector<int32_t>& ids,
                                        TokenMeasures*) const {
  const size_t before = ids.size();
  ids.resize(before + text.size());
  int32_t smallest = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const int32_t id = ids_[static_cast<unsigned char>(text[i])];
    ids[before + i] = id;
    smallest = std::min(smallest, id);
  }
  if (smallest == 0) return 0;

  const auto unknown = std::find(ids.begin() + static_cast<std::ptrdiff_t>(before), ids.end(), -1);
  const auto offset = static_cast<size_t>(unknown - ids.begin()) - before;
  const auto byte = static_cast<unsigned char>(text[offset]);
  const bool printable = byte > 0x20 && byte < 0x7F;
  ids.resize(before);
  raise<DataError>(
      "byte 0x{:02x}{} at offset {} is not among the {} bytes of the training text; use the byte tokenizer", byte,
      printable ? fmt::format(" '{}'", text[offset]) : "", text_offset + static_cast<int64_t>(offset),
      alphabet_.size());
}

void CharacterTokenizer::append_bytes(int32_t id, std::string& bytes) const {
  bytes += static_cast<char>(alphabet_[as_index(id)]);
}

Json CharacterTokenizer::to_json() const {
  return {{"name", "char"}, {"alphabet", alphabet_}};
}

}  // namespace moe
