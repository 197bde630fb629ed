#include "comm/process_groups.h"

#include <algorithm>

#include "comm/self_communicator.h"

namespace moe {

int64_t expert_parallel_size(int64_t ranks, int64_t wanted, int64_t num_experts) {
  if (wanted == 0) {
    for (int64_t n = 1; n <= ranks; ++n) {
      if (ranks % n == 0 && n <= std::max<int64_t>(num_experts, 1)) wanted = n;
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
  const int width = static_cast<int>(expert_parallel_size(world->size(), expert_parallel, num_experts));
  groups.expert = world->split(world->rank() / width);
  groups.data = world->split(world->rank() % width);
  groups.world = std::move(world);
  return groups;
}

ProcessGroups ProcessGroups::single() {
  auto self = std::make_shared<SelfCommunicator>();
  return {self, self, self};
}

}  // namespace moe
