#include "data/tokenizers/byte_pair_training.h"

#include <algorithm>
#include <cstddef>
#include <queue>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/tokenizers/byte_pair_files.h"
#include "data/tokenizers/word_pattern.h"

namespace moe {

namespace {

constexpr size_t kLongestWord = 256;  // bytes; longer ones are no words of a language

struct CountedWord {
  std::vector<int32_t> tokens;
  int64_t count = 0;
};

std::vector<CountedWord> count_words(const TrainingText& text) {
  std::unordered_map<std::string, int64_t> counts;
  const WordPattern pattern;
  std::string key;
  text([&](std::string_view piece) {
    pattern.for_each_word(piece, [&](std::string_view word) {
      if (word.size() < 2 || word.size() > kLongestWord) return;
      key = word;
      ++counts[key];
    });
  });
  std::vector<CountedWord> words;
  words.reserve(counts.size());
  for (const auto& [word, count] : counts) {
    CountedWord& added = words.emplace_back();
    added.count = count;
    for (const char c : word) added.tokens.push_back(static_cast<unsigned char>(c));
  }
  return words;
}

uint64_t key_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// How often each pair occurs, and in which words it may.
class PairCounts {
 public:
  explicit PairCounts(std::vector<CountedWord> words) : words_(std::move(words)) {
    for (size_t i = 0; i < words_.size(); ++i) add_pairs(i, 1);
    for (const auto& [key, pair] : pairs_) offer(key, pair.count);
  }

  // The most frequent pair that occurs at least twice; false if there is none.
  bool best(int32_t& left, int32_t& right) {
    while (!queue_.empty()) {
      const auto [count, inverse] = queue_.top();
      const uint64_t key = ~inverse;
      if (count == pairs_[key].count) {
        left = static_cast<int32_t>(key >> 32), right = static_cast<int32_t>(key & 0xFFFFFFFFu);
        return count >= 2;
      }
      queue_.pop();  // its count has changed, and the new one was offered
    }
    return false;
  }

  void merge(int32_t left, int32_t right, int32_t merged) {
    const std::unordered_set<size_t> places = std::move(pairs_[key_of(left, right)].words);
    changed_.clear();
    for (const size_t i : places) {
      add_pairs(i, -1);
      std::vector<int32_t>& tokens = words_[i].tokens;
      size_t kept = 0;
      for (size_t at = 0; at < tokens.size(); ++at) {
        const bool pair = at + 1 < tokens.size() && tokens[at] == left && tokens[at + 1] == right;
        tokens[kept++] = pair ? merged : tokens[at];
        at += pair;
      }
      tokens.resize(kept);
      add_pairs(i, 1);
    }
    for (const uint64_t key : changed_) offer(key, pairs_[key].count);
  }

 private:
  struct Pair {
    int64_t count = 0;
    std::unordered_set<size_t> words;
  };

  void add_pairs(size_t word, int64_t sign) {
    const CountedWord& w = words_[word];
    for (size_t at = 0; at + 1 < w.tokens.size(); ++at) {
      const uint64_t key = key_of(w.tokens[at], w.tokens[at + 1]);
      Pair& pair = pairs_[key];
      pair.count += sign * w.count;
      if (sign > 0) pair.words.insert(word);
      changed_.insert(key);
    }
  }
  void offer(uint64_t key, int64_t count) {
    if (count > 0) queue_.push({count, ~key});
  }

  std::vector<CountedWord> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::unordered_set<uint64_t> changed_;
  std::priority_queue<std::tuple<int64_t, uint64_t>> queue_;  // of equal counts the lowest pair first
};

}  // namespace

BytePairTokenizer::Vocabulary learn_byte_pairs(const TrainingText& text, int64_t vocab_size) {
  constexpr int64_t kLeast = 257, kMost = 1 << 22;
  if (vocab_size < kLeast || vocab_size > kMost)
    raise<UsageError>("a vocabulary of {} byte pairs; expected {} to {}", vocab_size, kLeast, kMost);
  BytePairTokenizer::Vocabulary result;
  for (int byte = 0; byte < 256; ++byte) result.tokens.push_back(spelling_of_byte(static_cast<unsigned char>(byte)));
  PairCounts pairs(count_words(text));
  int32_t left = 0, right = 0;
  std::unordered_set<std::string> known(result.tokens.begin(), result.tokens.end());
  while (std::ssize(result.tokens) + 1 < vocab_size && pairs.best(left, right)) {
    const std::string a = result.tokens[as_index(left)], b = result.tokens[as_index(right)], both = a + b;
    // Two pairs may spell the same token, which then has one id.
    const bool is_new = known.insert(both).second;
    const auto id = static_cast<int32_t>(is_new ? std::ssize(result.tokens)
                                                : std::find(result.tokens.begin(), result.tokens.end(), both) -
                                                      result.tokens.begin());
    if (is_new) result.tokens.push_back(both);
    result.merges.push_back(a + " " + b);
    pairs.merge(left, right, id);
  }
  result.tokens.emplace_back(BytePairTokenizer::kEndOfDocument);
  return result;
}

}  // namespace moe
