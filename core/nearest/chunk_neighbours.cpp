#include "core/nearest/chunk_neighbours.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/base/log.h"
#include "core/checkpoint/scratch_folder.h"
#include "core/nearest/faiss_search.h"
#include "core/nearest/subject.h"
#include "core/retrieval/neighbour_map.h"
#include "data/content_hash.h"

namespace moe {

// Rank 0: the chunk for each of a split's chunks, whose vectors `vectors(begin, count)` returns.
static SplitNeighbours neighbours_in(const NeighbourFacts& facts, const KeyStore& chunks, const Task& task,
                                     const std::string& split, int64_t training_tokens, int64_t count,
                                     const std::function<std::vector<float>(int64_t, int64_t)>& vectors) {
  constexpr int64_t kQueriesAtOnce = 4096;

  const FlatSearch search(chunks);
  SplitNeighbours result{format_hash(task.content_hash(split)), {}};
  for (int64_t begin = 0; begin < count; begin += kQueriesAtOnce) {
    const std::vector<float> queries = vectors(begin, std::min(kQueriesAtOnce, count - begin));
    const auto nearest = nearest_chunks(facts, chunks, search, queries, begin, training_tokens, split == "train");
    result.nearest.insert(result.nearest.end(), nearest.begin(), nearest.end());
  }
  return result;
}

void find_chunk_neighbours(const RetrievalOptions& options, MpiSession& session) {
  Subject s = load_subject(options, session);
  NeighbourFacts facts{.checkpoint = s.run.checkpoint,
                       .model = s.model,
                       .key = options.key,
                       .chunk = options.chunk,
                       .length = options.length,
                       .window = options.window > 0 ? options.window : s.run.config.data.sequence};
  const KeyKind kind = key_kind(options.key);
  const auto read = [&](const std::string& split, const ChunkVisitor& visit) {
    const auto set = s.task->evaluation_set(split, options.evaluation);
    read_chunks(*s.run.state, s.run.groups, *s.run.world, *set, kind, options.evaluation.sequences, options.chunk,
                visit);
    return set->num_tokens() + 1;
  };
  std::optional<ScratchFolder> scratch;
  std::optional<KeyStore> chunks;
  std::map<std::string, SplitNeighbours> splits;
  int64_t training_tokens = 0;
  if (s.first) {
    scratch.emplace(options.output + ".chunks");
    write_store(scratch->path() + "/store", {.key = kind}, [&](const StoreSink& add) {
      training_tokens = read("train", [&](int64_t chunk, std::span<const float> vector) {
        KeyedTokens one{std::ssize(vector), {vector.begin(), vector.end()}, {0}, {chunk * options.chunk}, {0}};
        add(one);
      });
    });
    chunks.emplace(scratch->path() + "/store");
    splits["train"] = neighbours_in(facts, *chunks, *s.task, "train", training_tokens, chunks->size(),
                                    [&](int64_t begin, int64_t count) {
                                      std::vector<float> queries(as_index(count * chunks->width()));
                                      chunks->read_keys(begin, count, queries);
                                      return queries;
                                    });
  } else {
    read("train", {});
  }
  for (const std::string split : {"validation", "test"}) {
    if (!s.task->has_split(split)) continue;
    std::vector<float> vectors;
    read(split,
         [&](int64_t, std::span<const float> vector) { vectors.insert(vectors.end(), vector.begin(), vector.end()); });
    if (!s.first) continue;
    const int64_t width = chunks->width();
    splits[split] = neighbours_in(facts, *chunks, *s.task, split, training_tokens, std::ssize(vectors) / width,
                                  [&](int64_t begin, int64_t count) {
                                    const auto from = vectors.begin() + begin * width;
                                    return std::vector<float>(from, from + count * width);
                                  });
  }
  if (!s.first) return;
  write_neighbours(options.output, facts, training_tokens, splits);
  log::info("{} | {} | {} chunks of {} tokens, prefixes of up to {} before windows of up to {}", options.output,
            s.task->data_name(), chunks->size(), facts.chunk, facts.length, facts.window);
}

}  // namespace moe
