#include "comm/process_groups.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "comm/self_communicator.h"
#include "core/base/integer.h"

namespace moe {

std::vector<int64_t> equal_parts(int64_t total, int64_t parts) {
  std::vector<int64_t> counts;
  for (int64_t part = 0; part < parts; ++part) counts.push_back(share_of(total, parts, part).count);
  return counts;
}

int64_t expert_parallel_size(const RankCounts& counts, int64_t wanted, int64_t num_experts) {
  const int64_t ranks = counts.ranks;
  if (wanted == 0) {
    for (int64_t n = 1; n <= counts.per_host; ++n) {
      if (counts.per_host % n == 0 && n <= std::max<int64_t>(num_experts, 1)) wanted = n;
    }
  }
  if (ranks % wanted != 0)
    raise<UsageError>("parallel.expert: {} does not divide the {} ranks; set it to a divisor, or to 0", wanted, ranks);
  if (wanted > 1 && wanted > num_experts)
    raise<UsageError>(
        "parallel.expert: {} ranks cannot share {} experts; set it to at most the number of experts, or to 0", wanted,
        num_experts);
  return wanted;
}

ProcessGroups ProcessGroups::make(std::shared_ptr<Communicator> world, int64_t expert_parallel, int64_t num_experts) {
  ProcessGroups groups;
  const auto width = static_cast<int>(expert_parallel_size(RankCounts::of(*world), expert_parallel, num_experts));
  // The ranks by host, and on a host by number; launchers may have placed neighbours on different hosts.
  std::vector<int> ranks(as_index(world->size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  std::stable_sort(ranks.begin(), ranks.end(),
                   [&](int left, int right) { return world->host_of(left) < world->host_of(right); });
  const auto place = static_cast<int>(std::find(ranks.begin(), ranks.end(), world->rank()) - ranks.begin());
  groups.expert = world->split(place / width);
  groups.data = world->split(groups.expert->rank());
  groups.world = std::move(world);
  return groups;
}

ProcessGroups ProcessGroups::single() {
  auto self = std::make_shared<SelfCommunicator>();
  return {self, self, self};
}

}  // namespace moe
