#include "data/tokenizers/word.h"

#include <algorithm>

#include "core/base/integer.h"
#include "core/base/json.h"

namespace moe {

static constexpr int32_t kUnknownId = 0, kLineEndId = 1;
static constexpr std::string_view kBlanks = " \t\r\v\f";

// Calls word(text) for every word and line_end(pointer past it) for every line end, in order.
template <class Word, class LineEnd>
static void for_each_token(std::string_view text, Word word, LineEnd line_end) {
  size_t begin = 0;
  while (begin < text.size()) {
    if (text[begin] == '\n') {
      line_end(text.data() + ++begin);
    } else if (kBlanks.find(text[begin]) != kBlanks.npos) {
      ++begin;
    } else {
      size_t end = begin + 1;
      while (end < text.size() && text[end] != '\n' && kBlanks.find(text[end]) == kBlanks.npos) ++end;
      word(text.substr(begin, end - begin));
      begin = end;
    }
  }
}

WordTokenizer::WordTokenizer(std::vector<std::string> words) : words_(std::move(words)) {
  if (words_.size() < 2 || words_[kUnknownId] != kUnknown || words_[kLineEndId] != kLineEnd)
    raise<DataError>("a vocabulary of words must begin with {} and {}", kUnknown, kLineEnd);
  ids_.reserve(words_.size());
  for (size_t id = 0; id < words_.size(); ++id) {
    const std::string& word = words_[id];
    if (word.empty() || word.find_first_of(std::string(kBlanks) + "\n") != std::string::npos)
      raise<DataError>("entry {} of the vocabulary, '{}', is not a word", id, word);
    if (!ids_.emplace(word, static_cast<int32_t>(id)).second)
      raise<DataError>("the word '{}' occurs twice in the vocabulary", word);
  }
}

std::unique_ptr<Tokenizer> WordTokenizer::from_json(const Json& description) {
  return std::make_unique<WordTokenizer>(description.at("words").get<std::vector<std::string>>());
}

std::unique_ptr<Tokenizer> WordTokenizer::make(const TrainingText& text, const TokenizerOptions& options) {
  refuse_foreign(options, "word", "min_count");
  if (options.min_count < 1) raise<UsageError>("a least word count of {}; expected 1 or more", options.min_count);
  std::unordered_map<std::string, int64_t> counts;
  text([&](std::string_view piece) {
    for_each_token(
        piece, [&](std::string_view word) { ++counts[std::string(word)]; }, [](const char*) {});
  });
  counts.erase(kUnknown);
  counts.erase(kLineEnd);
  std::vector<std::pair<std::string, int64_t>> kept;
  for (const auto& entry : counts) {
    if (entry.second >= options.min_count) kept.push_back(entry);
  }
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::vector<std::string> words{kUnknown, kLineEnd};
  for (auto& entry : kept) words.push_back(std::move(entry.first));
  return std::make_unique<WordTokenizer>(std::move(words));
}

int64_t WordTokenizer::encode_text(std::string_view text, int64_t, std::vector<int32_t>& ids,
                                   TokenMeasures* measures) const {
  const char* begin = text.data();  // start of the bytes that no token covers yet; blanks belong to the token after
                                    // them
  const auto add = [&](int32_t id, const char* end, size_t unknown) {
    ids.push_back(id);
    if (measures) {
      measures->lengths.push_back(static_cast<int32_t>(end - begin));
      measures->unknown.push_back(static_cast<int32_t>(unknown));
    }
    begin = end;
  };
  for_each_token(
      text,
      [&](std::string_view word) {
        const auto found = ids_.find(word);
        const bool known = found != ids_.end();
        add(known ? found->second : kUnknownId, word.data() + word.size(), known ? 0 : word.size());
      },
      [&](const char* end) { add(kLineEndId, end, 0); });
  return text.data() + text.size() - begin;
}

void WordTokenizer::append_bytes(int32_t id, std::string& bytes) const {
  if (id == kLineEndId) {
    bytes += '\n';
    return;
  }
  if (!bytes.empty() && bytes.back() != '\n') bytes += ' ';
  bytes += words_[as_index(id)];
}

Json WordTokenizer::to_json() const {
  return {{"name", "word"}, {"words", words_}};
}

}  // namespace moe
