#include "core/retrieval/neighbour_map.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <tuple>
#include <vector>

#include "core/base/error.h"
#include "core/base/integer.h"
#include "data/evaluation_windows.h"
#include "tests/retrieval/sample_store.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

static NeighbourFacts facts_of(int64_t chunk, int64_t length, int64_t window) {
  NeighbourFacts facts;
  facts.chunk = chunk, facts.length = length, facts.window = window;
  return facts;
}

TEST_CASE("a prefix never overlaps the query or a window that follows it") {
  for (const auto& [chunk, length, window] : {std::tuple<int64_t, int64_t, int64_t>{4, 8, 12}, {4, 6, 5}, {8, 3, 16}}) {
    const NeighbourFacts facts = facts_of(chunk, length, window);
    for (int64_t query = 0; query < 12; ++query) {
      int64_t ruled_out = 0;
      for (int64_t other = 0; other < 40; ++other) {
        const int64_t place = other * chunk;
        // Whether it overlaps the text from the query's beginning to the end of a window that begins in the next chunk.
        bool overlaps = false;
        for (int64_t start = (query + 1) * chunk; start < (query + 2) * chunk; ++start)
          overlaps |= place < start + window && query * chunk < place + length;
        CHECK((overlaps || may_precede(facts, place, query)));
        CHECK_FALSE((overlaps && may_precede(facts, place, query)));
        ruled_out += !may_precede(facts, place, query);
      }
      CHECK(ruled_out <= most_ruled_out(facts));
    }
  }
}

TEST_CASE("the nearest chunk is one that may precede, and in another text the nearest of all") {
  const TemporaryFolder folder;
  const NeighbourFacts facts = facts_of(4, 8, 8);
  const int64_t count = 40, tokens = count * 4 + 2;
  KeyedTokens vectors = random_entries(count, 3);
  for (const int64_t copy : {2, 3, 30})  // of chunk 1; the first two are too near to it
    std::copy_n(vectors.keys.begin() + 3, 3, vectors.keys.begin() + copy * 3);
  write_sample_store(folder / "store", vectors);
  const KeyStore store(folder / "store");
  const PlainSearch search(store);
  const std::vector<int32_t> own = nearest_chunks(facts, store, search, vectors.keys, 0, tokens, true);
  REQUIRE(std::ssize(own) == count);
  CHECK(own[1] == 30);
  for (int64_t query = 0; query < count; ++query) {
    CHECK(may_precede(facts, own[as_index(query)] * 4, query));
    CHECK(own[as_index(query)] * 4 + 8 <= tokens);
  }
  const auto query = std::span(vectors.keys).subspan(3, 3);
  CHECK(nearest_chunks(facts, store, search, query, 1, tokens, false) == std::vector<int32_t>{1});
  const auto last = std::span(vectors.keys).subspan(39 * 3, 3);  // no whole prefix begins there
  CHECK(nearest_chunks(facts, store, search, last, 0, tokens, false)[0] != 39);
  CHECK_THROWS_AS(nearest_chunks(facts_of(4, 8, 400), store, search, query, 1, tokens, true), UsageError);
}

TEST_CASE("a map of neighbours gives the place of each window's prefix, and is refused when it is damaged") {
  const TemporaryFolder folder;
  const std::string path = folder / "map";
  write_neighbours(path, facts_of(4, 8, 8), 100, {{"train", {"a", {5, 6, 7}}}, {"test", {"b", {9, 2}}}});
  const NeighbourMap map(path);
  CHECK(map.facts().length == 8);
  map.require("train", "a");
  CHECK_THROWS_WITH(map.require("train", "b"), Catch::Contains("another text"));
  CHECK_THROWS_AS(map.require("validation", "a"), DataError);
  for (int64_t start = 0; start < 4; ++start) CHECK(map.prefix_of("train", start) == 92);  // no query: the text's end
  for (int64_t start = 4; start < 8; ++start) CHECK(map.prefix_of("train", start) == 20);
  CHECK(map.prefix_of("train", 8) == 24);
  CHECK(map.prefix_of("train", 15) == 28);
  CHECK(map.prefix_of("test", 4) == 36);
  std::fstream(path + "/train.bin", std::ios::in | std::ios::out | std::ios::binary).seekp(1).put('\x7f');
  CHECK_THROWS_AS(NeighbourMap(path), CheckpointError);
  fs::resize_file(path + "/train.bin", 4);
  CHECK_THROWS_AS(NeighbourMap(path), CheckpointError);
  CHECK_THROWS_AS(NeighbourMap(folder / "nothing"), CheckpointError);
}

TEST_CASE("a chunk's vector is the mean of the keys of its tokens") {
  std::vector<int32_t> text;
  for (int32_t i = 0; i < 50; ++i) text.push_back(i * 7 % 11);
  Split split("train");
  split.append(text);
  TinyRun run(config_from("{model: {layers: 1, d_model: 8, attention: {heads: 2}}, moe: {experts: 2, d_ff: 8}, "
                          "data: {sequence: 8}, train: {batch: 4}}"),
              11, ProcessGroups::single());
  const EvaluationWindows set(split, 8, 8);
  std::vector<float> keys;
  read_keys(run.state, run.groups, set, KeyKind::hidden, 2,
            [&](KeyedTokens& tokens) { keys.insert(keys.end(), tokens.keys.begin(), tokens.keys.end()); });
  int64_t chunks = 0;
  read_chunks(run.state, run.groups, *run.groups.world, set, KeyKind::hidden, 2, 6,
              [&](int64_t chunk, std::span<const float> vector) {
                CHECK(chunk == chunks++);
                for (int64_t i = 0; i < 8; ++i) {
                  double mean = 0;
                  for (int64_t t = 6 * chunk; t < 6 * chunk + 6; ++t) mean += double(keys[as_index(t * 8 + i)]) / 6;
                  CHECK(vector[as_index(i)] == Approx(mean).margin(1e-6));
                }
              });
  CHECK(chunks == chunks_of(50, 6));
}
