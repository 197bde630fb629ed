#include "data/tokenizers/pipeline/model.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/tokenizers/byte_pair_files.h"
#include "data/tokenizers/pipeline/options.h"

namespace moe {

namespace {

constexpr int64_t kMostPieces = 1 << 22;

struct Kind {
  std::string_view name;
  std::unique_ptr<SubwordModel> (*make)(const Json& json, const PieceVocabulary& vocabulary);
};

const Table<Kind>& kinds() {
  static const Table<Kind> table{"model",
                                 {{"BPE", make_byte_pair_model},
                                  {"Unigram", make_unigram_model},
                                  {"WordPiece", make_word_piece_model},
                                  {"WordLevel", make_word_level_model},
                                  {"RankedPieces", make_ranked_model}}};
  return table;
}

}  // namespace

std::string kind_of_model(const Json& json) {
  if (json.contains("type")) return json.at("type").get<std::string>();
  return json.contains("merges") ? "BPE" : json.at("vocab").is_array() ? "Unigram" : "WordPiece";
}

std::unique_ptr<SubwordModel> make_subword_model(const Json& json, const PieceVocabulary& vocabulary) {
  return kind_in(kinds(), {{"type", kind_of_model(json)}}).make(json, vocabulary);
}

PieceVocabulary::PieceVocabulary(const Json& model, bool byte_level) : byte_level_(byte_level) {
  const Json& vocab = model.at("vocab");
  std::vector<std::pair<std::string, int64_t>> all;
  if (vocab.is_array()) {  // of pieces with scores
    for (const Json& entry : vocab) all.emplace_back(entry.at(0).get<std::string>(), std::ssize(all));
  } else {
    for (const auto& [piece, id] : vocab.items()) all.emplace_back(piece, id.get<int64_t>());
  }
  int64_t size = 0;
  for (const auto& [piece, id] : all) {
    if (id < 0 || id >= kMostPieces) raise<DataError>("the id {} of the piece '{}' is not supported", id, piece);
    size = std::max(size, id + 1);
  }
  pieces_.resize(static_cast<size_t>(size));
  std::vector<bool> seen(pieces_.size());
  for (const auto& [piece, id] : all) {
    if (seen[as_index(id)]) raise<DataError>("the id {} occurs twice in the vocabulary", id);
    seen[as_index(id)] = true;
    pieces_[as_index(id)] = bytes_of(piece);
  }
  for (const auto& [piece, id] : all) ids_.emplace(pieces_[as_index(id)], static_cast<int32_t>(id));
}

std::string PieceVocabulary::bytes_of(const std::string& spelling) const {
  if (!byte_level_) return spelling;
  return bytes_of_spelling(spelling).value_or(spelling);
}

std::optional<int32_t> PieceVocabulary::find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  if (found == ids_.end()) return std::nullopt;
  return found->second;
}

std::optional<int32_t> PieceVocabulary::find_spelling(const std::string& spelling) const {
  return find(bytes_of(spelling));
}

std::optional<int32_t> PieceVocabulary::find_byte(unsigned char byte) const {
  if (byte_level_) return find(std::string(1, static_cast<char>(byte)));
  return find(fmt::format("<0x{:02X}>", byte));
}

}  // namespace moe
