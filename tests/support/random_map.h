// Maps of experts to ranks, and copies of experts, for tests that must not depend on them.
#pragma once
#include <algorithm>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/moe/expert_map.h"
#include "core/moe/replicas.h"

namespace moe::test {

// A random map that is not contiguous if there is another; the same for the same arguments.
inline ExpertMap random_map(int64_t experts, int64_t ranks, uint64_t seed) {
  std::vector<int32_t> rank_of = ExpertMap::contiguous(experts, ranks).ranks_of_experts();
  const RandomKey key{.seed = seed, .purpose = RandomPurpose::test};
  uint64_t draw = 0;
  for (int tries = 0; tries < 10; ++tries) {
    for (size_t e = rank_of.size(); e > 1; --e) std::swap(rank_of[e - 1], rank_of[key.bits(draw++) % e]);
    if (!ExpertMap(rank_of, ranks).is_contiguous()) break;
  }
  return {rank_of, ranks};
}

// Copies of random experts: as many as there is room for on every rank but the last, which has none.
inline Replicas random_replicas(const ExpertMap& map, int64_t replicas, uint64_t seed) {
  const RandomKey key{.seed = seed, .purpose = RandomPurpose::test, .stream = 1};
  uint64_t draw = 0;
  std::vector<std::vector<int32_t>> copies(as_index(map.ranks()));
  for (int64_t rank = 0; rank + 1 < map.ranks(); ++rank) {
    std::vector<int32_t>& list = copies[as_index(rank)];
    while (std::ssize(list) < room_for_copies(map.experts(), map.count(rank), replicas)) {
      const auto e = static_cast<int32_t>(key.bits(draw++) % static_cast<uint64_t>(map.experts()));
      if (map.rank_of(e) != rank && std::find(list.begin(), list.end(), e) == list.end()) list.push_back(e);
    }
    std::sort(list.begin(), list.end());
  }
  return {map, std::move(copies), replicas};
}

}  // namespace moe::test
