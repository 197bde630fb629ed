#include "comm/process_groups.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "comm/planned_communicator.h"
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

HostLayout HostLayout::of(const Communicator& ranks) {
  HostLayout layout;
  std::vector<int> names;       // of the hosts
  std::vector<int64_t> counts;  // their ranks
  for (int rank = 0; rank < ranks.size(); ++rank) {
    const auto host = std::find(names.begin(), names.end(), ranks.host_of(rank)) - names.begin();
    if (host == std::ssize(names)) names.push_back(ranks.host_of(rank)), counts.push_back(0);
    layout.host.push_back(host);
    layout.index.push_back(counts[as_index(host)]++);
  }
  layout.hosts = std::ssize(names);
  const auto [fewest, most] = std::minmax_element(counts.begin(), counts.end());
  if (*fewest != *most) {
    layout.uneven = fmt::format("an expert-parallel group of {} ranks has {} on one host and {} on another",
                                ranks.size(), *fewest, *most);
  }
  return layout;
}

ProcessGroups ProcessGroups::planned(const RankCounts& counts, int64_t expert_parallel) {
  const auto ranks = [](int64_t size, int64_t per_host) {
    return std::make_shared<PlannedCommunicator>(static_cast<int>(size), static_cast<int>(per_host));
  };
  ProcessGroups groups{.world = ranks(counts.ranks, counts.per_host),
                       .expert = ranks(expert_parallel, std::min(expert_parallel, counts.per_host)),
                       .data = ranks(counts.ranks / expert_parallel, 1)};
  groups.layout = HostLayout::of(*groups.expert);
  if (!groups.layout.spans_even_hosts()) return groups;
  groups.inside = ranks(expert_parallel / groups.layout.hosts, expert_parallel / groups.layout.hosts);
  groups.rail = ranks(groups.layout.hosts, 1);
  return groups;
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
  groups.layout = HostLayout::of(*groups.expert);
  if (groups.layout.spans_even_hosts()) {
    const auto rank = as_index(groups.expert->rank());
    groups.inside = groups.expert->split(static_cast<int>(groups.layout.host[rank]));
    groups.rail = groups.expert->split(static_cast<int>(groups.layout.index[rank]));
  }
  groups.world = std::move(world);
  return groups;
}

ProcessGroups ProcessGroups::single() {
  auto self = std::make_shared<SelfCommunicator>();
  return {.world = self, .expert = self, .data = self, .layout = HostLayout::of(*self)};
}

}  // namespace moe
