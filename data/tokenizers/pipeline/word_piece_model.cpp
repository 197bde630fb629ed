// WordPiece (Schuster and Nakajima, 2012), as BERT's: from the left, each time the longest piece; pieces that continue
// a word have a prefix. A word that cannot be cut so is the unknown token. WordLevel knows whole words alone.
#include <algorithm>

#include "core/base/check.h"
#include "data/tokenizers/pipeline/model.h"
#include "data/tokenizers/pipeline/options.h"
#include "data/tokenizers/pipeline/unicode.h"

namespace moe {

namespace {

int32_t unknown_of(const Json& json, const PieceVocabulary& vocabulary) {
  const std::string piece = json.value("unk_token", "[UNK]");
  if (const auto id = vocabulary.find_spelling(piece)) return *id;
  raise<DataError>("the unknown token '{}' is not in the vocabulary", piece);
}

class WordPieceModel : public SubwordModel {
 public:
  WordPieceModel(const Json& json, const PieceVocabulary& vocabulary)
      : vocabulary_(vocabulary),
        unknown_(unknown_of(json, vocabulary)),
        prefix_(json.value("continuing_subword_prefix", "##")),
        most_characters_(json.value("max_input_chars_per_word", int64_t{100})) {
    for (int32_t id = 0; id < vocabulary.size(); ++id) longest_ = std::max(longest_, vocabulary.piece(id).size());
  }

  void encode(std::string_view word, std::vector<TokenPart>& parts) const override {
    const size_t old = parts.size();
    if (is_long(word) || !cut(word, parts)) {
      parts.resize(old);
      parts.push_back({unknown_, static_cast<int32_t>(word.size()), true});
    }
  }
  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  bool is_long(std::string_view word) const {
    int64_t characters = 0;
    for (size_t at = 0; at < word.size(); ++characters) next_character(word, at);
    return characters > most_characters_;
  }

  bool cut(std::string_view word, std::vector<TokenPart>& parts) const {
    std::string piece;
    for (size_t begin = 0; begin < word.size();) {
      const std::string& prefix = begin > 0 ? prefix_ : kNone;
      size_t length = std::min(word.size() - begin, longest_);
      std::optional<int32_t> id;
      for (; length > 0 && !id; length -= id ? 0 : 1) {
        piece = prefix;
        piece += word.substr(begin, length);
        id = vocabulary_.find(piece);
      }
      if (!id) return false;
      parts.push_back({*id, static_cast<int32_t>(length)});
      begin += length;
    }
    return true;
  }

  static inline const std::string kNone;
  const PieceVocabulary& vocabulary_;
  int32_t unknown_;
  std::string prefix_;
  int64_t most_characters_;
  size_t longest_ = 0;  // bytes of a piece
};

class WordLevelModel : public SubwordModel {
 public:
  WordLevelModel(const Json& json, const PieceVocabulary& vocabulary)
      : vocabulary_(vocabulary), unknown_(unknown_of(json, vocabulary)) {}

  void encode(std::string_view word, std::vector<TokenPart>& parts) const override {
    const auto id = vocabulary_.find(word);
    parts.push_back({id.value_or(unknown_), static_cast<int32_t>(word.size()), !id});
  }
  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  const PieceVocabulary& vocabulary_;
  int32_t unknown_;
};

}  // namespace

std::unique_ptr<SubwordModel> make_word_piece_model(const Json& json, const PieceVocabulary& vocabulary) {
  return std::make_unique<WordPieceModel>(json, vocabulary);
}
std::unique_ptr<SubwordModel> make_word_level_model(const Json& json, const PieceVocabulary& vocabulary) {
  return std::make_unique<WordLevelModel>(json, vocabulary);
}

}  // namespace moe
