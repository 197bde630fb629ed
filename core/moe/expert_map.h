// Which rank of an expert group holds which expert of a layer. Each rank holds as many experts as its contiguous share
// has (share_of), so that another map changes neither the shapes nor the memory of any rank.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/process_groups.h"

namespace moe {

class ExpertMap {
 public:
  ExpertMap() = default;
  // `rank_of` (experts): the rank of each expert. Throws InternalError unless fits().
  ExpertMap(std::vector<int32_t> rank_of, int64_t ranks);
  static ExpertMap contiguous(int64_t experts, int64_t ranks);
  // Whether each rank in [0, ranks) has the number of experts that its contiguous share has.
  static bool fits(std::span<const int32_t> rank_of, int64_t ranks);

  int64_t experts() const { return static_cast<int64_t>(rank_of_.size()); }
  int64_t ranks() const { return ranks_; }
  int32_t rank_of(int64_t expert) const { return rank_of_[static_cast<size_t>(expert)]; }
  const std::vector<int32_t>& ranks_of_experts() const { return rank_of_; }
  // The experts of a rank in ascending order, which is their order in the rank's stacks.
  std::vector<int64_t> experts_of(int64_t rank) const;
  int64_t count(int64_t rank) const { return share_of(experts(), ranks_, rank).count; }
  // (experts) The place of each expert in the list of all ranks' experts, rank after rank. The places of a rank are its
  // contiguous share.
  std::vector<int32_t> places() const;
  bool is_contiguous() const { return *this == contiguous(experts(), ranks_); }
  // Number of experts that another rank holds in `other`.
  int64_t moved(const ExpertMap& other) const;
  bool operator==(const ExpertMap&) const = default;

 private:
  std::vector<int32_t> rank_of_;
  int64_t ranks_ = 1;
};

}  // namespace moe
