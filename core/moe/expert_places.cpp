#include "core/moe/expert_places.h"

#include <utility>

#include "comm/communicator.h"
#include "core/base/integer.h"
#include "core/ops/dispatch_rows.h"
#include "core/tensor/copy.h"

namespace moe {

ExpertPlaces::ExpertPlaces(std::vector<int32_t> homes) : homes_(std::move(homes)) {}

ExpertPlaces::ExpertPlaces(const ExpertMap& map, const Replicas& replicas, int64_t room_on_each)
    : homes_(map.places()) {
  if (room_on_each == 0) return;
  std::vector<std::vector<int32_t>> places_of(as_index(map.experts()));
  int32_t before = 0;  // places for copies on the ranks before
  for (int64_t rank = 0; rank < map.ranks(); ++rank) {
    const Share own = share_of(map.experts(), map.ranks(), rank);
    for (const int64_t e : map.experts_of(rank)) homes_[as_index(e)] += before;
    const auto copies = static_cast<int32_t>(own.begin + own.count) + before;
    for (size_t i = 0; i < replicas.on(rank).size(); ++i) {
      places_of[as_index(replicas.on(rank)[i])].push_back(copies + static_cast<int32_t>(i));
    }
    before += static_cast<int32_t>(room_for_copies(map.experts(), own.count, room_on_each));
  }
  first_.push_back(0);
  for (int64_t e = 0; e < map.experts(); ++e) {
    places_.push_back(homes_[as_index(e)]);
    places_.insert(places_.end(), places_of[as_index(e)].begin(), places_of[as_index(e)].end());
    first_.push_back(static_cast<int32_t>(std::ssize(places_)));
  }
  places_.resize(as_index(map.experts() + before));
}

std::vector<int64_t> ExpertPlaces::counts(int64_t experts, int64_t ranks, int64_t replicas) {
  std::vector<int64_t> counts = equal_parts(experts, ranks);
  for (int64_t& count : counts) count += room_for_copies(experts, count, replicas);
  return counts;
}

void ExpertPlaces::renumber(const std::vector<int32_t>& to) {
  if (homes_.empty()) {
    homes_ = to;
    return;
  }
  for (int32_t& place : homes_) place = to[as_index(place)];
  for (int32_t& place : places_) place = to[as_index(place)];
}

ConstTensor ExpertPlaces::of(Context& ctx, ScratchScope& scratch, ConstTensor indices, bool only_homes) {
  if (homes_.empty()) return indices;
  const auto usable = [&](std::vector<int32_t>& values) {
    return on_device(ctx, scratch, as_tensor(std::span<int32_t>(values)));
  };
  const Tensor placed = scratch.allocate(indices.shape, DType::i32);
  if (only_homes || places_.empty()) {
    place_assignments(ctx, placed, indices, usable(homes_));
  } else {
    place_on_copies(ctx, placed, indices, usable(first_), usable(places_), ctx.first_token);
  }
  return placed;
}

}  // namespace moe
