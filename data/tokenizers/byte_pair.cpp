#include "data/tokenizers/byte_pair.h"

#include <atomic>
#include <functional>
#include <limits>
#include <queue>
#include <tuple>
#include <utility>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "data/tokenizers/byte_pair_files.h"
#include "data/tokenizers/byte_pair_training.h"
#include "data/tokenizers/pipeline/pipeline_tokenizer.h"

namespace moe {

static uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

BytePairTokenizer::BytePairTokenizer(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {
  const std::vector<std::string>& tokens = vocabulary_.tokens;
  if (tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    raise<DataError>("a vocabulary of {} tokens is not supported", tokens.size());
  std::unordered_map<std::string_view, int32_t> ids;
  bytes_.resize(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!ids.emplace(tokens[id], static_cast<int32_t>(id)).second)
      raise<DataError>("the token '{}' occurs twice in the vocabulary", tokens[id]);
    if (tokens[id] == kEndOfDocument) {
      end_of_document_ = static_cast<int32_t>(id);
    } else if (auto bytes = bytes_of_spelling(tokens[id])) {
      bytes_[id] = std::move(*bytes);
    } else {
      raise<DataError>("the token '{}' has a character that stands for no byte", tokens[id]);
    }
  }
  const auto id_of = [&](std::string_view token, const std::string& merge) {
    const auto found = ids.find(token);
    if (found == ids.end()) raise<DataError>("the merge '{}': '{}' is not a token", merge, token);
    return found->second;
  };
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = ids.find(spelling_of_byte(static_cast<unsigned char>(byte)));
    if (found == ids.end()) raise<DataError>("byte 0x{:02x} has no token", byte);
    byte_ids_.push_back(found->second);
  }
  for (size_t rank = 0; rank < vocabulary_.merges.size(); ++rank) {
    const std::string& merge = vocabulary_.merges[rank];
    const size_t blank = merge.find(' ');
    if (blank == merge.npos) raise<DataError>("'{}' is not a merge of two tokens", merge);
    const std::string_view left(merge.data(), blank), right = std::string_view(merge).substr(blank + 1);
    merges_.emplace(pair_key(id_of(left, merge), id_of(right, merge)),
                    Merge{static_cast<int32_t>(rank), id_of(std::string(left) + std::string(right), merge)});
  }
}

std::unique_ptr<Tokenizer> BytePairTokenizer::from_json(const Json& description) {
  return std::make_unique<BytePairTokenizer>(Vocabulary{description.at("tokens").get<std::vector<std::string>>(),
                                                        description.at("merges").get<std::vector<std::string>>()});
}

std::unique_ptr<Tokenizer> BytePairTokenizer::make(const TrainingText& text, const TokenizerOptions& options) {
  refuse_foreign(options, "bpe", "vocabulary vocab_size");
  if (options.vocabulary.empty() == (options.vocab_size == 0)) {
    throw UsageError(
        "the tokenizer 'bpe' needs either the folder of a vocabulary (GPT-2's encoder.json and vocab.bpe) or the size "
        "of "
        "one to learn");
  }
  if (options.vocabulary.empty())
    return std::make_unique<BytePairTokenizer>(learn_byte_pairs(text, options.vocab_size));
  return naming(options.vocabulary,
                [&] { return std::make_unique<BytePairTokenizer>(read_byte_pairs(options.vocabulary)); });
}

bool BytePairTokenizer::is_vocabulary(const std::string& path) {
  // Where there is a tokenizer.json as well, that one says how texts are cut into words; the pair of files does not.
  return holds_byte_pairs(path) && !PipelineTokenizer::is_vocabulary(path);
}

std::optional<std::vector<int32_t>> BytePairTokenizer::bytes_by_id() const {
  std::vector<int32_t> lengths;
  for (const std::string& bytes : bytes_) lengths.push_back(static_cast<int32_t>(bytes.size()));
  return lengths;
}

const BytePairTokenizer::Merge* BytePairTokenizer::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

// Repeatedly merges the neighbouring pair of the lowest rank, the first of several. A queue keeps this cheap even for a
// "word" of a megabyte.
void BytePairTokenizer::merge_word(std::string_view word, std::vector<int32_t>& ids) const {
  struct Node {
    int32_t id, previous, next;  // id -1: merged away; at the ends previous is -1 and next is the number of nodes
  };
  using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;  // rank, place, ids of both sides
  const auto count = static_cast<int32_t>(word.size());
  std::vector<Node> nodes;
  for (int32_t i = 0; i < count; ++i)
    nodes.push_back({byte_ids_[static_cast<unsigned char>(word[as_index(i)])], i - 1, i + 1});
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto at = [&](int32_t i) -> Node& { return nodes[as_index(i)]; };
  const auto consider = [&](int32_t place) {
    if (place < 0 || at(place).next == count) return;
    const int32_t left = at(place).id, right = at(at(place).next).id;
    if (const Merge* merge = find_merge(left, right)) queue.push({merge->rank, place, left, right});
  };
  for (int32_t i = 0; i + 1 < count; ++i) consider(i);
  while (!queue.empty()) {
    const auto [rank, place, left, right] = queue.top();
    queue.pop();
    const int32_t next = at(place).next;
    if (at(place).id != left || next == count || at(next).id != right) continue;  // one side has been merged since
    at(place).id = find_merge(left, right)->id;
    at(place).next = at(next).next;
    at(next).id = -1;
    if (at(place).next != count) at(at(place).next).previous = place;
    consider(at(place).previous);
    consider(place);
  }
  for (int32_t i = 0; i < count; i = at(i).next) ids.push_back(at(i).id);
}

uint64_t BytePairTokenizer::next_number() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

int64_t BytePairTokenizer::encode_text(std::string_view text, int64_t, std::vector<int32_t>& ids,
                                       TokenMeasures*) const {
  // Most words of a text have occurred before, so each thread remembers those of the tokenizer that it used last.
  constexpr size_t kRemembered = 32;  // maximum bytes of a cached word
  constexpr size_t kMostWords = size_t{1} << 16;
  thread_local uint64_t owner = 0;
  thread_local std::unordered_map<std::string, std::vector<int32_t>> known;
  if (std::exchange(owner, number_) != number_ || known.size() > kMostWords) known.clear();
  std::string key;
  pattern_.for_each_word(text, [&](std::string_view word) {
    if (word.size() > kRemembered) {
      merge_word(word, ids);
      return;
    }
    key = word;
    const auto [entry, is_new] = known.try_emplace(key);
    if (is_new) merge_word(word, entry->second);
    ids.insert(ids.end(), entry->second.begin(), entry->second.end());
  });
  return 0;
}

Json BytePairTokenizer::to_json() const {
  return {{"name", "bpe"}, {"tokens", vocabulary_.tokens}, {"merges", vocabulary_.merges}};
}

}  // namespace moe
