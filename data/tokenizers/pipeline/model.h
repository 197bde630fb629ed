// The models of a tokenizer.json: how a word is cut into tokens of the vocabulary.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/json.h"
#include "core/base/table.h"

namespace moe {

struct TokenPart {
  int32_t id;
  int32_t bytes;         // of the word, that the token stands for
  bool unknown = false;  // it is the unknown token
};

// The pieces of a model, by id; an id without a piece has an empty one.
class PieceVocabulary {
 public:
  // `byte_level`: pieces spell each byte by a visible character. A piece that has other characters matches no text.
  // Throws DataError for ids that are negative, too large or occur twice.
  PieceVocabulary(const Json& model, bool byte_level);

  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  // The bytes that piece `id` stands for; as it is spelled if it spells no bytes.
  const std::string& piece(int32_t id) const { return pieces_[static_cast<size_t>(id)]; }
  std::optional<int32_t> find(std::string_view piece) const;
  // Looks up a piece as the file spells it.
  std::optional<int32_t> find_spelling(const std::string& spelling) const;
  // The piece <0x41> of byte 0x41, or with `byte_level` the piece of that byte.
  std::optional<int32_t> find_byte(unsigned char byte) const;
  bool byte_level() const { return byte_level_; }

 private:
  std::string bytes_of(const std::string& spelling) const;

  bool byte_level_;
  std::vector<std::string> pieces_;
  std::unordered_map<std::string_view, int32_t> ids_;
};

// Thrown for a word that has no tokens.
struct NoToken {
  size_t at;  // its byte that cannot be expressed
};

class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the tokens of a word of valid UTF-8. Throws NoToken.
  virtual void encode(std::string_view word, std::vector<TokenPart>& parts) const = 0;
  // The token of a byte that is not UTF-8, if the model has one for each byte.
  virtual std::optional<int32_t> token_of_byte(unsigned char) const { return std::nullopt; }
  // Whether no token crosses the beginning of a `mark` that follows something else, so that a word may be cut there.
  virtual bool may_cut_before(std::string_view) const { return false; }
  virtual std::optional<int32_t> unknown() const { return std::nullopt; }
};

// `json`: the member "model", which names its kind. `vocabulary` must outlive the model. Throws DataError for a kind or
// an option that is not supported.
std::unique_ptr<SubwordModel> make_subword_model(const Json& json, const PieceVocabulary& vocabulary);
// The kind of model, which files before 2021 do not name.
std::string kind_of_model(const Json& json);

std::unique_ptr<SubwordModel> make_byte_pair_model(const Json& json, const PieceVocabulary& vocabulary);
// Byte pairs without a list of merges: any two neighbours that together are a piece are merged, the lowest id first.
std::unique_ptr<SubwordModel> make_ranked_model(const Json& json, const PieceVocabulary& vocabulary);
std::unique_ptr<SubwordModel> make_unigram_model(const Json& json, const PieceVocabulary& vocabulary);
std::unique_ptr<SubwordModel> make_word_piece_model(const Json& json, const PieceVocabulary& vocabulary);
std::unique_ptr<SubwordModel> make_word_level_model(const Json& json, const PieceVocabulary& vocabulary);

}  // namespace moe
