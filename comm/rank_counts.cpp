#include "comm/rank_counts.h"

#include <map>
#include <numeric>

namespace moe {

RankCounts RankCounts::of(const Communicator& world) {
  std::map<int, int64_t> hosts;
  for (int rank = 0; rank < world.size(); ++rank) ++hosts[world.host_of(rank)];
  RankCounts counts{.ranks = world.size(), .per_host = 0};
  for (const auto& [host, ranks] : hosts) counts.per_host = std::gcd(counts.per_host, ranks);
  return counts;
}

}  // namespace moe
