#include "comm/process_groups.h"

#include "comm/self_communicator.h"

namespace moe {

ProcessGroups ProcessGroups::make(std::shared_ptr<Communicator> world, int64_t expert_parallel, int64_t num_experts) {
  const int size = world->size();
  if (expert_parallel == 0) {
    for (int64_t n = 1; n <= size; ++n) {
      if (size % n == 0 && n <= std::max<int64_t>(num_experts, 1)) expert_parallel = n;
    }
  }
  if (size % expert_parallel != 0) {
    raise<UsageError>("parallel.expert: {} does not divide the {} ranks", expert_parallel, size);
  }
  if (expert_parallel > 1 && expert_parallel > num_experts) {
    raise<UsageError>("parallel.expert: {} ranks cannot share {} experts", expert_parallel, num_experts);
  }
  ProcessGroups groups;
  const int width = static_cast<int>(expert_parallel);
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
