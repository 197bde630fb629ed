// Byte pairs (Sennrich et al., 2016) of bytes or of characters: neighbours are merged, the pair that was learned first
// before all others.
#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/base/text.h"
#include "data/tokenizers/pipeline/model.h"
#include "data/tokenizers/pipeline/options.h"

namespace moe {

namespace {

struct Merge {
  int32_t rank, id;
};

// Merges by the ids of both sides: a hash table with open addressing, which is asked for every pair of neighbours.
class MergeTable {
 public:
  explicit MergeTable(size_t merges) {
    size_t slots = 16;
    while (slots < 2 * merges) slots *= 2;
    slots_.resize(slots);
  }
  void set(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[place_of(key_of(left, right))];
    slot = {key_of(left, right), merge};
  }
  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place_of(key_of(left, right))];
    return slot.key == kFree ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    Merge merge = {};
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t place_of(uint64_t key) const {
    uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t place = hash & (slots_.size() - 1);
    while (slots_[place].key != kFree && slots_[place].key != key) place = (place + 1) & (slots_.size() - 1);
    return place;
  }

  std::vector<Slot> slots_;
};

// Merges in place by looking at all pairs again after each merge: fastest for the few characters of most words.
void merge_few(const MergeTable& merges, std::vector<TokenPart>& parts, size_t first, std::vector<Merge>& pairs) {
  constexpr Merge kNone{std::numeric_limits<int32_t>::max(), -1};
  const auto pair_at = [&](size_t i) {
    const Merge* merge = merges.find(parts[i].id, parts[i + 1].id);
    return merge ? *merge : kNone;
  };
  pairs.clear();
  for (size_t i = first; i + 1 < parts.size(); ++i) pairs.push_back(pair_at(i));
  while (!pairs.empty()) {
    const auto best =
        std::min_element(pairs.begin(), pairs.end(), [](const Merge& a, const Merge& b) { return a.rank < b.rank; });
    if (best->id < 0) return;
    const auto place = best - pairs.begin();
    const size_t i = first + static_cast<size_t>(place);
    parts[i].id = best->id;
    parts[i].bytes += parts[i + 1].bytes;
    parts[i].unknown = false;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    pairs.erase(best);
    if (i > first) pairs[static_cast<size_t>(place) - 1] = pair_at(i - 1);
    if (i + 1 < parts.size()) pairs[static_cast<size_t>(place)] = pair_at(i);
  }
}

// The same with a queue, whose time grows with n log n: a "word" may have a megabyte.
void merge_many(const MergeTable& merges, std::vector<TokenPart>& parts, size_t first) {
  struct Node {
    int32_t previous, next;
  };
  using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;  // rank, place, ids of both sides
  const auto count = static_cast<int32_t>(parts.size() - first);
  std::vector<Node> nodes(as_index(count));
  const auto part = [&](int32_t i) -> TokenPart& { return parts[first + as_index(i)]; };
  const auto node = [&](int32_t i) -> Node& { return nodes[as_index(i)]; };
  for (int32_t i = 0; i < count; ++i) node(i) = {i - 1, i + 1};
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto consider = [&](int32_t place) {
    if (place < 0 || node(place).next == count) return;
    const int32_t left = part(place).id, right = part(node(place).next).id;
    if (const Merge* merge = merges.find(left, right)) queue.push({merge->rank, place, left, right});
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i);
  while (!queue.empty()) {
    const auto [rank, place, left, right] = queue.top();
    queue.pop();
    const int32_t next = node(place).next;
    if (part(place).id != left || next == count || part(next).id != right) continue;  // merged since
    part(place) = {merges.find(left, right)->id, part(place).bytes + part(next).bytes};
    part(next).id = -1;
    node(place).next = node(next).next;
    if (node(place).next != count) node(node(place).next).previous = place;
    consider(node(place).previous);
    consider(place);
  }
  std::erase_if(parts, [](const TokenPart& p) { return p.id < 0; });
}

struct LearnedMerge {
  int32_t left, right;
  Merge result;
};

struct MergeOptions {
  bool byte_fallback = false;  // characters without a piece become the pieces of their bytes
  bool fuse_unknown = false;   // neighbours without a piece become one unknown token
  bool ignore_merges = false;  // a word that is a piece becomes that piece
  std::optional<int32_t> unknown = {};
};

class BytePairModel : public SubwordModel {
 public:
  BytePairModel(const PieceVocabulary& vocabulary, const MergeOptions& options, const std::vector<LearnedMerge>& merges)
      : vocabulary_(vocabulary),
        merges_(merges.size()),
        byte_fallback_(options.byte_fallback),
        fuse_unknown_(options.fuse_unknown),
        ignore_merges_(options.ignore_merges),
        unknown_(options.unknown) {
    for (int byte = 0; byte < 256; ++byte)
      bytes_[as_index(byte)] = vocabulary.find_byte(static_cast<unsigned char>(byte)).value_or(-1);
    for (const LearnedMerge& merge : merges) merges_.set(merge.left, merge.right, merge.result);
  }

  void encode(std::string_view word, std::vector<TokenPart>& parts) const override {
    if (ignore_merges_) {
      if (const auto id = vocabulary_.find(word)) {
        parts.push_back({*id, static_cast<int32_t>(word.size())});
        return;
      }
    }
    constexpr size_t kFew = 100;
    const size_t first = parts.size();
    append_symbols(word, parts);
    if (parts.size() - first > kFew) return merge_many(merges_, parts, first);
    thread_local std::vector<Merge> pairs;
    merge_few(merges_, parts, first, pairs);
  }

  std::optional<int32_t> token_of_byte(unsigned char byte) const override {
    const int32_t id = bytes_[byte];
    if (id < 0 || !(vocabulary_.byte_level() || byte_fallback_)) return std::nullopt;
    return id;
  }

  bool may_cut_before(std::string_view mark) const override {
    if (!vocabulary_.find(mark)) return false;
    for (int32_t id = 0; id < vocabulary_.size(); ++id) {
      const std::string_view piece = vocabulary_.piece(id);
      for (size_t at = piece.find(mark); at != piece.npos; at = piece.find(mark, at + mark.size())) {
        if (at > 0 && !piece.substr(0, at).ends_with(mark)) return false;
      }
    }
    return true;
  }

  std::optional<int32_t> unknown() const override { return unknown_; }

 private:
  void append_symbols(std::string_view word, std::vector<TokenPart>& parts) const {
    for (size_t at = 0, length = 0; at < word.size(); at += length) {
      length = vocabulary_.byte_level() ? 1 : utf8_length(word.substr(at));
      const std::string_view symbol = word.substr(at, length);
      const auto byte = static_cast<unsigned char>(symbol[0]);
      const auto id = vocabulary_.byte_level() ? token_of_byte(byte) : vocabulary_.find(symbol);
      if (id) {
        parts.push_back({*id, static_cast<int32_t>(length)});
      } else if (byte_fallback_ && has_bytes(symbol)) {
        for (const char c : symbol) parts.push_back({bytes_[static_cast<unsigned char>(c)], 1});
      } else if (!unknown_) {
        throw NoToken{at};
      } else if (fuse_unknown_ && at > 0 && parts.back().unknown) {
        parts.back().bytes += static_cast<int32_t>(length);
      } else {
        parts.push_back({*unknown_, static_cast<int32_t>(length), true});
      }
    }
  }

  bool has_bytes(std::string_view symbol) const {
    return std::all_of(symbol.begin(), symbol.end(),
                       [&](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; });
  }

  const PieceVocabulary& vocabulary_;
  MergeTable merges_;
  bool byte_fallback_, fuse_unknown_, ignore_merges_;
  std::array<int32_t, 256> bytes_ = {};
  std::optional<int32_t> unknown_;
};

int32_t id_of(const PieceVocabulary& vocabulary, const std::string& spelling) {
  if (const auto id = vocabulary.find_spelling(spelling)) return *id;
  raise<DataError>("the piece '{}' of a merge or option is not in the vocabulary", spelling);
}

}  // namespace

std::unique_ptr<SubwordModel> make_byte_pair_model(const Json& json, const PieceVocabulary& vocabulary) {
  for (const char* option : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    refuse_option(json, option, "the model BPE");
  MergeOptions options{.byte_fallback = json.value("byte_fallback", false),
                       .fuse_unknown = json.value("fuse_unk", false),
                       .ignore_merges = json.value("ignore_merges", false)};
  if (!is_absent(json, "unk_token")) options.unknown = id_of(vocabulary, json.at("unk_token").get<std::string>());
  std::vector<LearnedMerge> merges;
  for (const Json& merge : json.at("merges")) {  // "a b", or a list of both since tokenizers 0.20
    const auto rank = static_cast<int32_t>(merges.size());
    const auto parts = merge.is_string() ? split(merge.get<std::string>(), ' ') : merge.get<std::vector<std::string>>();
    if (parts.size() != 2) raise<DataError>("merge {} is not one of two pieces", rank);
    const int32_t left = id_of(vocabulary, parts[0]), right = id_of(vocabulary, parts[1]);
    merges.push_back({left, right, {rank, id_of(vocabulary, parts[0] + parts[1])}});
  }
  return std::make_unique<BytePairModel>(vocabulary, options, merges);
}

std::unique_ptr<SubwordModel> make_ranked_model(const Json&, const PieceVocabulary& vocabulary) {
  std::vector<LearnedMerge> merges;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const std::string_view piece = vocabulary.piece(id);
    for (size_t at = 1; at < piece.size(); ++at) {
      const auto left = vocabulary.find(piece.substr(0, at)), right = vocabulary.find(piece.substr(at));
      if (left && right) merges.push_back({*left, *right, {id, id}});
    }
  }
  return std::make_unique<BytePairModel>(vocabulary, MergeOptions{.ignore_merges = true}, merges);
}

}  // namespace moe
