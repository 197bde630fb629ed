// Maps of experts to ranks for tests that must not depend on the map.
#pragma once
#include <algorithm>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/moe/expert_map.h"

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

}  // namespace moe::test
