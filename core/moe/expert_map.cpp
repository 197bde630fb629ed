#include "core/moe/expert_map.h"

#include <utility>

#include "core/base/integer.h"

namespace moe {

ExpertMap::ExpertMap(std::vector<int32_t> rank_of, int64_t ranks) : rank_of_(std::move(rank_of)), ranks_(ranks) {
  MOE_CHECK(fits(rank_of_, ranks_), "a map of {} experts does not give each of {} ranks its number of experts",
            rank_of_.size(), ranks);
}

ExpertMap ExpertMap::contiguous(int64_t experts, int64_t ranks) {
  std::vector<int32_t> rank_of;
  for (int64_t rank = 0; rank < ranks; ++rank) {
    rank_of.insert(rank_of.end(), as_index(share_of(experts, ranks, rank).count), static_cast<int32_t>(rank));
  }
  return {std::move(rank_of), ranks};
}

bool ExpertMap::fits(std::span<const int32_t> rank_of, int64_t ranks) {
  if (ranks < 1) return false;
  std::vector<int64_t> count(as_index(ranks));
  for (const int32_t rank : rank_of) {
    if (rank < 0 || rank >= ranks) return false;
    ++count[as_index(rank)];
  }
  for (int64_t rank = 0; rank < ranks; ++rank) {
    if (count[as_index(rank)] != share_of(std::ssize(rank_of), ranks, rank).count) return false;
  }
  return true;
}

std::vector<int64_t> ExpertMap::experts_of(int64_t rank) const {
  std::vector<int64_t> result;
  for (int64_t e = 0; e < experts(); ++e) {
    if (rank_of(e) == rank) result.push_back(e);
  }
  return result;
}

std::vector<int32_t> ExpertMap::places() const {
  std::vector<int64_t> next;  // free place of each rank
  for (int64_t rank = 0; rank < ranks_; ++rank) next.push_back(share_of(experts(), ranks_, rank).begin);
  std::vector<int32_t> places;
  for (const int32_t rank : rank_of_) places.push_back(static_cast<int32_t>(next[as_index(rank)]++));
  return places;
}

int64_t ExpertMap::moved(const ExpertMap& other) const {
  int64_t number = 0;
  for (int64_t e = 0; e < experts(); ++e) number += rank_of(e) != other.rank_of(e);
  return number;
}

}  // namespace moe
