#include "core/nearest/search_store.h"

#include <algorithm>
#include <iostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/integer.h"
#include "core/base/text.h"
#include "core/nearest/open_store.h"
#include "core/tasks/open_corpus.h"
#include "data/content_hash.h"
#include "data/evaluation_windows.h"
#include "data/tokenizer.h"

namespace moe {

// The text around an entry, with the entry's token in brackets.
static std::string around(const Split& split, const Tokenizer& tokenizer, int64_t position) {
  constexpr int64_t kBefore = 24, kAfter = 8;
  const int64_t begin = std::max<int64_t>(position - kBefore, 0);
  const int64_t end = std::min(position + kAfter, split.num_tokens());
  std::vector<int32_t> tokens(as_index(end - begin));
  split.read(begin, end - begin, tokens.data());
  const std::span<const int32_t> all = tokens;
  const auto text = [&](int64_t from, int64_t to) {
    const auto part = all.subspan(as_index(from - begin), as_index(to - from));
    return tokenizer.decode({part.begin(), part.end()});
  };
  return text(begin, position) + "[" + text(position, position + 1) + "]" + text(position + 1, end);
}

void search_store(const RetrievalOptions& given_options, MpiSession& session) {
  KeyStore store(given_options.store);
  RetrievalOptions options = given_options;
  if (options.run.empty()) options.run = store.facts().checkpoint;
  if (options.data.empty()) options.data = store.facts().path;
  Subject s = load_subject(options, session);
  const int64_t k = std::min(options.k, store.size());
  const auto open = open_store(options, s, std::move(store), {k});
  const auto tokenizer = load_tokenizer(*tasks().at(s.run.config.task).tokenizer(s.run.samples), s.run.samples_file);
  std::vector<int32_t> tokens;
  tokenizer->encode(options.text, tokens);
  if (tokens.empty()) throw UsageError("--text is empty; give the text whose continuation is searched for");
  const int64_t context = s.run.config.data.sequence;
  if (std::ssize(tokens) > context) tokens.erase(tokens.begin(), tokens.end() - context);
  tokens.push_back(tokens.back());  // so that the last one predicts something
  Split prompt("prompt");
  prompt.append(tokens);
  const EvaluationWindows set(prompt, context, context);
  std::vector<float> query;
  read_keys(*s.run.state, s.run.groups, set, open->store.facts().key, options.evaluation.sequences,
            [&](KeyedTokens& read) {
              const KeyedTokens all = gathered(*s.run.world, std::move(read));
              if (all.size() > 0) query.assign(all.keys.end() - all.width, all.keys.end());
            });
  if (!s.first) return;
  const StoreSearch& by = open->searches.front();
  const NearestEntries nearest = nearest_entries(open->store, *by.search, query, open->largest_k(), by.candidates);
  DataConfig data = s.run.config.data;
  if (options.data != data.location()) data.use(options.data);
  const Corpus corpus = open_corpus(data, *tokenizer);
  const Split& split = corpus.split(open->store.facts().split);
  if (format_hash(split.content_hash()) != open->store.facts().text) {
    raise<DataError>("{} is no longer the text of {}, or another one; --data names it", options.data, options.store);
  }
  std::cout << "distance\tposition\tnext\ttext\n";
  for (size_t i = 0; i < nearest.ids.size() && nearest.ids[i] >= 0; ++i) {
    const int64_t position = open->store.position(nearest.ids[i]);
    std::cout << fmt::format("{:.6g}\t{}\t{}\t{}\n", nearest.distances[i], position, open->store.next(nearest.ids[i]),
                             shown(around(split, *tokenizer, position)));
  }
}

}  // namespace moe
