#include "core/retrieval/nearest.h"

#include <omp.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "tests/retrieval/sample_store.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using namespace moe::test;

namespace {

// Gives every entry, the last one first.
class AllBackwards : public CandidateSearch {
 public:
  void find(std::span<const float>, int64_t count, std::span<int64_t> ids) const override {
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = count - 1 - static_cast<int64_t>(i) % count;
  }
};

}  // namespace

TEST_CASE("the nearest entries come first, and those at equal distances by their number") {
  const TemporaryFolder folder;
  KeyedTokens tokens = random_entries(40, 4);
  for (const int64_t copy : {7, 3, 39})  // of entry 20
    std::copy_n(tokens.keys.begin() + 20 * 4, 4, tokens.keys.begin() + copy * 4);
  write_sample_store(folder / "store", tokens);
  const KeyStore store(folder / "store");
  const std::vector<float> query(tokens.keys.begin() + 20 * 4, tokens.keys.begin() + 21 * 4);
  const NearestEntries nearest = nearest_entries(store, AllBackwards(), query, 5, 40);
  CHECK(std::vector(nearest.ids.begin(), nearest.ids.begin() + 4) == std::vector<int64_t>{3, 7, 20, 39});
  CHECK(nearest.distances[3] == 0);
  CHECK(nearest.distances[4] > 0);
}

TEST_CASE("fewer entries than neighbours leave the rest empty") {
  const TemporaryFolder folder;
  const KeyedTokens tokens = random_entries(3, 4);
  write_sample_store(folder / "store", tokens);
  const KeyStore store(folder / "store");
  const NearestEntries nearest = nearest_entries(store, PlainSearch(store), tokens.keys, 4, 20);
  REQUIRE(nearest.ids.size() == 12);
  for (int64_t q = 0; q < 3; ++q) {
    CHECK(nearest.ids[as_index(4 * q)] == q);
    CHECK(nearest.ids[as_index(4 * q + 3)] == -1);
    CHECK(nearest.distances[as_index(4 * q + 3)] == std::numeric_limits<float>::infinity());
  }
}

TEST_CASE("threads change no bit of the nearest entries") {
  const TemporaryFolder folder;
  write_sample_store(folder / "store", random_entries(200, 8, 1), NumberFormat::f16);
  const KeyStore store(folder / "store");
  const KeyedTokens queries = random_entries(30, 8, 2);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const NearestEntries one = nearest_entries(store, PlainSearch(store), queries.keys, 10, 26);
  omp_set_num_threads(3);
  const NearestEntries three = nearest_entries(store, PlainSearch(store), queries.keys, 10, 26);
  omp_set_num_threads(threads);
  CHECK(one.ids == three.ids);
  CHECK(one.distances == three.distances);
}
