#include "core/moe/replicas.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

Replicas::Replicas(const ExpertMap& map, std::vector<std::vector<int32_t>> copies, int64_t replicas)
    : copies_(std::move(copies)) {
  MOE_CHECK(fits(map, copies_, replicas), "copies of experts on {} ranks do not fit {} experts on {}", copies_.size(),
            map.experts(), map.ranks());
  for (const std::vector<int32_t>& of_rank : copies_) number_ += std::ssize(of_rank);
  if (number_ == 0) copies_.clear();
}

bool Replicas::fits(const ExpertMap& map, std::span<const std::vector<int32_t>> copies, int64_t replicas) {
  if (copies.empty()) return true;
  if (std::ssize(copies) != map.ranks()) return false;
  for (int64_t rank = 0; rank < map.ranks(); ++rank) {
    const std::vector<int32_t>& of_rank = copies[as_index(rank)];
    if (std::ssize(of_rank) > room_for_copies(map.experts(), map.count(rank), replicas)) return false;
    for (size_t i = 0; i < of_rank.size(); ++i) {
      const int32_t e = of_rank[i];
      if (e < 0 || e >= map.experts() || map.rank_of(e) == rank || (i > 0 && e <= of_rank[i - 1])) return false;
    }
  }
  return true;
}

std::vector<int64_t> Replicas::holders(int64_t experts) const {
  std::vector<int64_t> number(as_index(experts), 1);
  for (const std::vector<int32_t>& of_rank : copies_) {
    for (const int32_t e : of_rank) ++number[as_index(e)];
  }
  return number;
}

// The rows that each rank which holds an expert computes for it.
static std::vector<double> rows_per_holder(const Replicas& replicas, std::span<const double> rows) {
  std::vector<double> result;
  const std::vector<int64_t> holders = replicas.holders(std::ssize(rows));
  for (size_t e = 0; e < rows.size(); ++e) result.push_back(rows[e] / static_cast<double>(holders[e]));
  return result;
}

// The rows that each rank computes for copies.
static std::vector<double> rows_of_copies(int64_t ranks, const Replicas& replicas, std::span<const double> per_holder) {
  std::vector<double> result(as_index(ranks));
  for (int64_t rank = 0; rank < ranks; ++rank) {
    for (const int32_t e : replicas.on(rank)) result[as_index(rank)] += per_holder[as_index(e)];
  }
  return result;
}

std::vector<double> rows_of_ranks(const ExpertMap& map, const Replicas& replicas, std::span<const double> rows) {
  const std::vector<double> per_holder = rows_per_holder(replicas, rows);
  std::vector<double> result = rows_of_copies(map.ranks(), replicas, per_holder);
  for (int64_t e = 0; e < map.experts(); ++e) result[as_index(map.rank_of(e))] += per_holder[as_index(e)];
  return result;
}

double busiest_over_mean(const ExpertMap& map, const Replicas& replicas, std::span<const double> rows) {
  const std::vector<double> of_rank = rows_of_ranks(map, replicas, rows);
  const double all = std::accumulate(rows.begin(), rows.end(), 0.0);
  return all > 0 ? *std::max_element(of_rank.begin(), of_rank.end()) * static_cast<double>(map.ranks()) / all : 1;
}

namespace {

// Copies that are being chosen.
class ReplicaDraft {
 public:
  ReplicaDraft(const ExpertMap& map, std::span<const double> rows, int64_t replicas)
      : map_(map), rows_(rows), copies_(as_index(map.ranks())), most_(replicas) {}

  Replicas replicas() const { return {map_, copies_, most_}; }

  // Gives the busiest rank's expert with the most rows there another copy; returns false if there is no place for one.
  bool relieve_busiest() {
    const Replicas now = replicas();
    const std::vector<double> of_rank = rows_of_ranks(map_, now, rows_), per_holder = rows_per_holder(now, rows_);
    const int64_t busy = std::max_element(of_rank.begin(), of_rank.end()) - of_rank.begin();
    int64_t expert = -1, target = -1;
    for (int64_t e = 0; e < map_.experts(); ++e) {
      if (!holds(busy, e) || per_holder[as_index(e)] <= 0) continue;
      if (expert >= 0 && per_holder[as_index(e)] <= per_holder[as_index(expert)]) continue;
      if (const int64_t rank = place_for(e, of_rank); rank >= 0) expert = e, target = rank;
    }
    if (expert < 0) return false;
    std::vector<int32_t>& list = copies_[as_index(target)];
    list.insert(std::upper_bound(list.begin(), list.end(), expert), static_cast<int32_t>(expert));
    return true;
  }

 private:
  bool holds(int64_t rank, int64_t expert) const {
    const std::vector<int32_t>& list = copies_[as_index(rank)];
    return map_.rank_of(expert) == rank || std::find(list.begin(), list.end(), expert) != list.end();
  }
  // The rank with the fewest rows that has room for a copy and does not hold the expert; -1 for none.
  int64_t place_for(int64_t expert, std::span<const double> of_rank) const {
    int64_t best = -1;
    for (int64_t rank = 0; rank < map_.ranks(); ++rank) {
      const int64_t room = room_for_copies(map_.experts(), map_.count(rank), most_);
      if (std::ssize(copies_[as_index(rank)]) >= room || holds(rank, expert)) continue;
      if (best < 0 || of_rank[as_index(rank)] < of_rank[as_index(best)]) best = rank;
    }
    return best;
  }

  const ExpertMap& map_;
  std::span<const double> rows_;
  std::vector<std::vector<int32_t>> copies_;
  const int64_t most_;
};

}  // namespace

Replicas choose_replicas(const ExpertMap& map, std::span<const double> rows, int64_t replicas) {
  constexpr double kLess = 1 - 1e-9;  // sums of quotients differ by rounding
  ReplicaDraft draft(map, rows, replicas);
  Replicas best;
  double least = busiest_over_mean(map, best, rows);
  while (draft.relieve_busiest()) {
    const Replicas now = draft.replicas();
    const double busiest = busiest_over_mean(map, now, rows);
    if (busiest < least * kLess) best = now, least = busiest;
  }
  return best;
}

PlacedReplicas place_with_replicas(const PlacementInput& input, const Replicas& now, int64_t replicas,
                                   FunctionRef<ExpertMap(const PlacementInput&)> choose) {
  constexpr int kRounds = 3;
  constexpr double kWorthChanging = 0.01;  // of the mean rows of a rank
  std::optional<PlacedReplicas> best;
  double least = 0;
  const auto consider = [&](const ExpertMap& map, const Replicas& copies) {
    const double busiest = busiest_over_mean(map, copies, input.rows);
    if (!best || busiest < least - kWorthChanging) best = PlacedReplicas{map, copies}, least = busiest;
  };
  const auto improve = [&](Replicas with) {
    for (int round = 0; round < kRounds; ++round) {
      const std::vector<double> per_holder = rows_per_holder(with, input.rows),
                                copies = rows_of_copies(input.now.ranks(), with, per_holder);
      PlacementInput reduced = input;
      reduced.rows = per_holder;
      if (!with.empty()) reduced.copies = copies;
      const ExpertMap map = choose(reduced);
      if (!with.empty() && Replicas::fits(map, with.of_ranks(), replicas)) consider(map, with);
      with = choose_replicas(map, input.rows, replicas);
      consider(map, with);
    }
  };
  if (!now.empty()) {
    if (input.pairs.empty()) consider(input.now, now);  // else the map shall also keep pairs together
    improve(now);
  }
  improve({});
  return *best;
}

}  // namespace moe
