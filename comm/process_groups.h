// world = data x expert: the ranks of an expert group share one copy of the experts; ranks that hold the same experts
// form a data group. Expert groups are taken from the ranks by host, so that rows travel within a host as far as
// possible. Every rank processes its own share of the batch.
#pragma once
#include <memory>
#include <string>
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

// The ranks of a communicator as hosts x ranks of a host.
struct HostLayout {
  int64_t hosts = 1;
  std::vector<int64_t> host;   // of each rank; hosts are numbered in the order of their first ranks
  std::vector<int64_t> index;  // of each rank among the ranks of its host
  std::string uneven;          // the reason why the hosts do not have equal numbers of ranks; empty if they do

  static HostLayout of(const Communicator& ranks);
  bool spans_even_hosts() const { return hosts > 1 && uneven.empty(); }
};

struct ProcessGroups {
  std::shared_ptr<Communicator> world;
  std::shared_ptr<Communicator> expert;  // the ranks that together hold all experts once
  std::shared_ptr<Communicator> data;    // the ranks that hold the same experts as this one
  HostLayout layout{};                   // of the expert group
  // If the expert group spans several hosts with equal numbers of ranks: its ranks on this host, and its ranks with the
  // same index on every host (a rail, because they are often joined by a network of their own).
  std::shared_ptr<Communicator> inside{}, rail{};

  // `expert_parallel` is the `wanted` of expert_parallel_size(). Collective over `world`.
  static ProcessGroups make(std::shared_ptr<Communicator> world, int64_t expert_parallel, int64_t num_experts);
  static ProcessGroups single();
  // Groups that cannot communicate, of the last of counts.ranks ranks, whose hosts have counts.per_host ranks each.
  static ProcessGroups planned(const RankCounts& counts, int64_t expert_parallel);

  // The experts that this rank holds.
  Share local_experts(int64_t num_experts) const { return share_of(num_experts, expert->size(), expert->rank()); }
};

}  // namespace moe
