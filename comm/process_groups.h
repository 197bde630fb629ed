// world = data x expert: the ranks of an expert group share one copy of the experts; ranks that hold the same experts
// form a data group. Expert groups are taken from the ranks by host, so that rows travel within a host as far as
// possible. Every rank processes its own share of the batch.
#pragma once
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "comm/rank_counts.h"

namespace moe {

// A contiguous share of `total` elements for part `index` of `parts`; sizes differ by at most one.
struct Share {
  int64_t begin = 0;
  int64_t count = 0;
};
inline Share share_of(int64_t total, int64_t parts, int64_t index) {
  const int64_t begin = total * index / parts, end = total * (index + 1) / parts;
  return {begin, end - begin};
}

// The shares of all parts.
std::vector<int64_t> equal_parts(int64_t total, int64_t parts);

// The number of ranks that share one copy of the experts: `wanted`, or if that is 0, the largest number that divides
// the ranks of every host and is at most `num_experts`. Throws UsageError if `wanted` does not divide the ranks or
// exceeds the experts.
int64_t expert_parallel_size(const RankCounts& counts, int64_t wanted, int64_t num_experts);

struct ProcessGroups {
  std::shared_ptr<Communicator> world;
  std::shared_ptr<Communicator> expert;  // the ranks that together hold all experts once
  std::shared_ptr<Communicator> data;    // the ranks that hold the same experts as this one

  // `expert_parallel` is the `wanted` of expert_parallel_size(). Collective over `world`.
  static ProcessGroups make(std::shared_ptr<Communicator> world, int64_t expert_parallel, int64_t num_experts);
  static ProcessGroups single();

  // The experts that this rank holds.
  Share local_experts(int64_t num_experts) const { return share_of(num_experts, expert->size(), expert->rank()); }
};

}  // namespace moe
