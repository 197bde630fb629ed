// Unigram (Kudo, 2018): of all ways to cut a word into pieces the one whose pieces have the largest sum of scores,
// which are logarithms of probabilities (Viterbi's algorithm).
#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "data/tokenizers/pipeline/model.h"
#include "data/tokenizers/pipeline/options.h"

namespace moe {

namespace {

// The pieces as a tree of their bytes. The children of a node are a list sorted by byte.
class PieceTree {
 public:
  void insert(std::string_view piece, int32_t id) {
    int32_t node = 0;
    for (const char c : piece) {
      int32_t next = child(node, c);
      if (next < 0) {
        next = static_cast<int32_t>(nodes_.size());
        nodes_.push_back({c, -1, -1, nodes_[as_index(node)].first});
        nodes_[as_index(node)].first = next;
      }
      node = next;
    }
    nodes_[as_index(node)].id = id;
  }
  void finish() {
    for (int32_t node = nodes_[0].first; node >= 0; node = nodes_[as_index(node)].sibling)
      roots_[static_cast<unsigned char>(nodes_[as_index(node)].byte)] = node;
  }
  // Visits the pieces that `text` begins with, the shortest first.
  template <class Visit>  // visit(bytes, id)
  void for_each_prefix(std::string_view text, const Visit& visit) const {
    if (text.empty()) return;
    int32_t node = roots_[static_cast<unsigned char>(text[0])];
    for (size_t length = 1; node >= 0; ++length) {
      if (const int32_t id = nodes_[as_index(node)].id; id >= 0) visit(length, id);
      if (length == text.size()) return;
      node = child(node, text[length]);
    }
  }

 private:
  struct Node {
    char byte;
    int32_t id, first, sibling;  // -1: none
  };
  int32_t child(int32_t node, char byte) const {
    int32_t found = nodes_[as_index(node)].first;
    while (found >= 0 && nodes_[as_index(found)].byte != byte) found = nodes_[as_index(found)].sibling;
    return found;
  }

  std::vector<Node> nodes_ = {{0, -1, -1, -1}};
  std::vector<int32_t> roots_ = std::vector<int32_t>(256, -1);
};

class UnigramModel : public SubwordModel {
 public:
  UnigramModel(const Json& json, const PieceVocabulary& vocabulary)
      : vocabulary_(vocabulary), byte_fallback_(json.value("byte_fallback", false)) {
    if (vocabulary.byte_level())
      throw DataError("the model Unigram after the pre-tokeniser ByteLevel is not supported");
    double least = std::numeric_limits<double>::infinity();
    for (const Json& entry : json.at("vocab")) {
      scores_.push_back(entry.at(1).get<double>());
      least = std::min(least, scores_.back());
    }
    for (size_t id = 0; id < scores_.size(); ++id) {
      const std::string& piece = vocabulary.piece(static_cast<int32_t>(id));
      if (!piece.empty()) tree_.insert(piece, static_cast<int32_t>(id));
    }
    tree_.finish();
    if (!is_absent(json, "unk_id")) {
      unknown_ = json.at("unk_id").get<int32_t>();
      if (*unknown_ < 0 || *unknown_ >= vocabulary.size())
        raise<DataError>("the unknown token {} has no piece", *unknown_);
    }
    constexpr double kPenalty = 10;  // of the library
    unknown_score_ = least - kPenalty;
    for (int byte = 0; byte < 256; ++byte)
      bytes_.push_back(vocabulary.find_byte(static_cast<unsigned char>(byte)).value_or(-1));
  }

  void encode(std::string_view word, std::vector<TokenPart>& parts) const override {
    std::vector<Best> best(word.size() + 1);
    best[0].score = 0;
    for (size_t at = 0, length = 0; at < word.size(); at += length) {
      length = utf8_length(word.substr(at));
      const double before = best[at].score;
      const auto consider = [&](size_t bytes, double score, int32_t id) {
        Best& end = best[at + bytes];
        if (end.from >= 0 && before + score <= end.score) return;
        end = {before + score, static_cast<int64_t>(at), id};
      };
      bool is_known = false;
      tree_.for_each_prefix(word.substr(at), [&](size_t bytes, int32_t id) {
        consider(bytes, scores_[as_index(id)], id);
        is_known = is_known || bytes == length;
      });
      if (!is_known) consider(length, unknown_score_, kUnknown);
    }
    std::vector<TokenPart> backwards;
    for (int64_t end = std::ssize(word); end > 0; end = best[as_index(end)].from) {
      const Best& step = best[as_index(end)];
      const auto bytes = static_cast<int32_t>(end - step.from);
      const bool is_unknown = step.id == kUnknown || step.id == unknown_;
      if (is_unknown && !backwards.empty() && backwards.back().unknown)
        backwards.back().bytes += bytes;
      else
        backwards.push_back({step.id, bytes, is_unknown});
    }
    std::reverse(backwards.begin(), backwards.end());
    add(word, backwards, parts);
  }

  std::optional<int32_t> token_of_byte(unsigned char byte) const override {
    if (!byte_fallback_ || bytes_[byte] < 0) return std::nullopt;
    return bytes_[byte];
  }
  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  static constexpr int32_t kUnknown = -1;
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    int64_t from = -1;
    int32_t id = kUnknown;
  };

  // Appends the pieces; unknown text becomes bytes where there are tokens for them.
  void add(std::string_view word, const std::vector<TokenPart>& found, std::vector<TokenPart>& parts) const {
    size_t at = 0;
    for (const TokenPart& part : found) {
      const std::string_view text = word.substr(at, static_cast<size_t>(part.bytes));
      const auto has_token = [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; };
      if (const auto id = part.unknown ? vocabulary_.find(text) : part.id) {
        parts.push_back({*id, part.bytes});
      } else if (byte_fallback_ && std::all_of(text.begin(), text.end(), has_token)) {
        for (const char c : text) parts.push_back({bytes_[static_cast<unsigned char>(c)], 1});
      } else if (unknown_) {
        parts.push_back({*unknown_, part.bytes, true});
      } else {
        throw NoToken{at};
      }
      at += text.size();
    }
  }

  const PieceVocabulary& vocabulary_;
  bool byte_fallback_;
  std::vector<double> scores_;
  PieceTree tree_;
  std::optional<int32_t> unknown_;
  double unknown_score_ = 0;
  std::vector<int32_t> bytes_;
};

}  // namespace

std::unique_ptr<SubwordModel> make_unigram_model(const Json& json, const PieceVocabulary& vocabulary) {
  return std::make_unique<UnigramModel>(json, vocabulary);
}

}  // namespace moe
