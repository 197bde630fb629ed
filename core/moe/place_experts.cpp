#include "core/moe/place_experts.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <utility>

#include "core/base/integer.h"

namespace moe {
namespace {

constexpr double kWorthMoving = 0.01;  // of the mean rows of a rank, or of all pairs
constexpr int kMostPasses = 100;       // over all experts; a few are enough in practice

// A map that is being changed, with the rows of each rank.
class Draft {
 public:
  explicit Draft(const PlacementInput& input)
      : input_(input), rank_of_(as_index(input.now.experts()), -1), rows_(as_index(input.now.ranks())) {
    for (int64_t rank = 0; rank < input.now.ranks(); ++rank) room_.push_back(input.now.count(rank));
    std::copy(input.copies.begin(), input.copies.end(), rows_.begin());
  }
  Draft(const PlacementInput& input, const ExpertMap& map) : Draft(input) {
    for (int64_t e = 0; e < map.experts(); ++e) put(e, map.rank_of(e));
  }

  int32_t rank_of(int64_t expert) const { return rank_of_[as_index(expert)]; }
  double rows(int64_t rank) const { return rows_[as_index(rank)]; }
  int64_t room(int64_t rank) const { return room_[as_index(rank)]; }
  double busiest() const { return *std::max_element(rows_.begin(), rows_.end()); }
  ExpertMap map() const { return {rank_of_, input_.now.ranks()}; }

  void put(int64_t expert, int32_t rank) {
    rank_of_[as_index(expert)] = rank;
    rows_[as_index(rank)] += input_.rows[as_index(expert)];
    --room_[as_index(rank)];
  }
  void swap(int64_t a, int64_t b) {
    const double more = input_.rows[as_index(b)] - input_.rows[as_index(a)];
    rows_[as_index(rank_of(a))] += more;
    rows_[as_index(rank_of(b))] -= more;
    std::swap(rank_of_[as_index(a)], rank_of_[as_index(b)]);
  }
  // Whether the ranks of both experts stay within `bound` rows if the experts are swapped.
  bool may_swap(int64_t a, int64_t b, double bound) const {
    const double more = input_.rows[as_index(b)] - input_.rows[as_index(a)];
    return std::max(rows(rank_of(a)) + more, rows(rank_of(b)) - more) <= bound;
  }

  // Distributes `experts` over `ranks` with room for them: the one with the most rows first, to the rank with the
  // fewest.
  void distribute(std::vector<int64_t> experts, const std::vector<int32_t>& ranks) {
    std::stable_sort(experts.begin(), experts.end(),
                     [&](int64_t a, int64_t b) { return input_.rows[as_index(a)] > input_.rows[as_index(b)]; });
    for (const int64_t e : experts) {
      int32_t best = -1;
      for (const int32_t rank : ranks) {
        if (room(rank) > 0 && (best < 0 || rows(rank) < rows(best))) best = rank;
      }
      put(e, best);
    }
  }

  // Swaps an expert of the busiest rank with one of another rank so that the busier of both gets as few rows as
  // possible. Returns false if no swap makes it less busy than the busiest rank was.
  bool relieve_busiest() {
    const auto busy = static_cast<int32_t>(std::max_element(rows_.begin(), rows_.end()) - rows_.begin());
    double best = rows(busy);
    std::pair<int64_t, int64_t> chosen{-1, -1};
    for (int64_t a = 0; a < std::ssize(rank_of_); ++a) {
      if (rank_of(a) != busy) continue;
      for (int64_t b = 0; b < std::ssize(rank_of_); ++b) {
        const double less = input_.rows[as_index(a)] - input_.rows[as_index(b)];
        if (rank_of(b) == busy || less <= 0) continue;
        const double busier = std::max(rows(busy) - less, rows(rank_of(b)) + less);
        if (busier < best) best = busier, chosen = {a, b};
      }
    }
    if (chosen.first < 0) return false;
    swap(chosen.first, chosen.second);
    return true;
  }
  // Repeats that until no rank has more than `bound` rows, or there is no such swap. Every swap lowers the greatest of
  // the ranks' rows or the number of ranks that have it, so this ends; the limit is for the time that it takes.
  void relieve(double bound) {
    for (int64_t i = 0; i < kMostPasses * std::ssize(rank_of_) && busiest() > bound && relieve_busiest(); ++i) {
    }
  }

 private:
  const PlacementInput& input_;
  std::vector<int32_t> rank_of_;
  std::vector<double> rows_;
  std::vector<int64_t> room_;  // experts that a rank can still take
};

std::vector<int32_t> hosts_of(const PlacementInput& input) {
  std::vector<int32_t> hosts(input.hosts.begin(), input.hosts.end());
  if (hosts.empty()) {
    hosts.resize(as_index(input.now.ranks()));
    std::iota(hosts.begin(), hosts.end(), 0);
  }
  return hosts;
}

// Exchanges the names of ranks with equally many experts, within hosts if `hosts` is not empty, so that many experts
// stay where they are now: the largest overlaps first. Not where ranks differ by their copies.
ExpertMap renamed(const ExpertMap& map, const PlacementInput& input, std::span<const int32_t> hosts) {
  if (!input.copies.empty()) return map;
  const ExpertMap& now = input.now;
  const int64_t ranks = now.ranks();
  std::vector<int64_t> overlap(as_index(ranks * ranks));
  for (int64_t e = 0; e < map.experts(); ++e) ++overlap[as_index(map.rank_of(e) * ranks + now.rank_of(e))];
  std::vector<std::tuple<int64_t, int32_t, int32_t>> candidates;  // -overlap, rank in `map`, its new name
  for (int32_t a = 0; a < ranks; ++a) {
    for (int32_t b = 0; b < ranks; ++b) {
      const bool same_host = hosts.empty() || hosts[as_index(a)] == hosts[as_index(b)];
      if (now.count(a) == now.count(b) && same_host) candidates.emplace_back(-overlap[as_index(a * ranks + b)], a, b);
    }
  }
  std::sort(candidates.begin(), candidates.end());
  std::vector<int32_t> name(as_index(ranks), -1);
  std::vector<bool> taken(as_index(ranks));
  for (const auto& [fewer, a, b] : candidates) {
    if (name[as_index(a)] >= 0 || taken[as_index(b)]) continue;
    name[as_index(a)] = b;
    taken[as_index(b)] = true;
  }
  std::vector<int32_t> rank_of;
  for (const int32_t rank : map.ranks_of_experts()) rank_of.push_back(name[as_index(rank)]);
  return {std::move(rank_of), ranks};
}

double total(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

ExpertMap most_even(const PlacementInput& input) {
  Draft draft(input);
  std::vector<int64_t> experts(as_index(input.now.experts()));
  std::iota(experts.begin(), experts.end(), 0);
  std::vector<int32_t> ranks(as_index(input.now.ranks()));
  std::iota(ranks.begin(), ranks.end(), 0);
  draft.distribute(std::move(experts), ranks);
  draft.relieve(0);
  return draft.map();
}

// Improves maps by the pairs that they keep on the same host.
class PairSearch {
 public:
  PairSearch(const PlacementInput& input, double bound)
      : input_(input), bound_(bound), experts_(input.now.experts()), hosts_(hosts_of(input)) {
    num_hosts_ = *std::max_element(hosts_.begin(), hosts_.end()) + 1;
  }

  // Swaps experts of different hosts as long as that keeps more pairs together; nothing for a map beyond the bound.
  std::optional<ExpertMap> improved(const ExpertMap& map) const {
    Draft draft(input_, map);
    draft.relieve(bound_);
    if (draft.busiest() > bound_) return std::nullopt;
    std::vector<double> with_host(as_index(experts_ * num_hosts_));  // pairs of an expert with those of a host
    for (int64_t e = 0; e < experts_; ++e) {
      for (int64_t other = 0; other < experts_; ++other) with_host[place(e, host(draft, other))] += pairs(e, other);
    }
    const auto gain = [&](int64_t a, int64_t b) {
      const int32_t u = host(draft, a), v = host(draft, b);
      return with_host[place(a, v)] - with_host[place(a, u)] + with_host[place(b, u)] - with_host[place(b, v)] -
             2 * pairs(a, b);
    };
    bool improves = true;
    for (int pass = 0; pass < kMostPasses && improves; ++pass) {
      improves = false;
      for (int64_t a = 0; a < experts_; ++a) {
        double best = 0;
        int64_t chosen = -1;
        for (int64_t b = 0; b < experts_; ++b) {
          if (host(draft, a) == host(draft, b) || !draft.may_swap(a, b, bound_)) continue;
          if (const double more = gain(a, b); more > best) best = more, chosen = b;
        }
        if (chosen < 0) continue;
        const int32_t u = host(draft, a), v = host(draft, chosen);
        draft.swap(a, chosen);
        for (int64_t e = 0; e < experts_; ++e) {
          const double more = pairs(e, a) - pairs(e, chosen);
          with_host[place(e, v)] += more;
          with_host[place(e, u)] -= more;
        }
        improves = true;
      }
    }
    return draft.map();
  }

  // One host after the other takes the expert with the most pairs, and then those with the most pairs with its own, as
  // long as its ranks can bear their rows.
  ExpertMap collected() const {
    Draft draft(input_);
    std::vector<bool> taken(as_index(experts_));
    for (int32_t h = 0; h < num_hosts_; ++h) {
      std::vector<int32_t> ranks;
      int64_t room = 0;
      for (int32_t rank = 0; rank < std::ssize(hosts_); ++rank) {
        if (hosts_[as_index(rank)] == h) ranks.push_back(rank), room += draft.room(rank);
      }
      std::vector<int64_t> members;
      double rows_left = bound_ * static_cast<double>(ranks.size());
      std::vector<double> with_members(as_index(experts_));
      for (int64_t e = 0; e < experts_; ++e) {
        for (int64_t other = 0; other < experts_; ++other) {
          if (!taken[as_index(other)]) with_members[as_index(e)] += pairs(e, other);
        }
      }
      while (std::ssize(members) < room) {
        const int64_t e = next(with_members, taken, rows_left);
        if (members.empty()) std::fill(with_members.begin(), with_members.end(), 0.0);
        members.push_back(e);
        taken[as_index(e)] = true;
        rows_left -= input_.rows[as_index(e)];
        for (int64_t other = 0; other < experts_; ++other) with_members[as_index(other)] += pairs(e, other);
      }
      draft.distribute(std::move(members), ranks);
    }
    return draft.map();
  }

 private:
  double pairs(int64_t a, int64_t b) const { return a == b ? 0 : input_.pairs[as_index(pair_index(a, b))]; }
  int32_t host(const Draft& draft, int64_t expert) const { return hosts_[as_index(draft.rank_of(expert))]; }
  size_t place(int64_t expert, int64_t host) const { return as_index(expert * num_hosts_ + host); }

  // The free expert with the largest value among those with at most `rows` rows; without one, that with the fewest
  // rows.
  int64_t next(const std::vector<double>& value, const std::vector<bool>& taken, double rows) const {
    int64_t best = -1, smallest = -1;
    for (int64_t e = 0; e < experts_; ++e) {
      if (taken[as_index(e)]) continue;
      if (smallest < 0 || input_.rows[as_index(e)] < input_.rows[as_index(smallest)]) smallest = e;
      if (input_.rows[as_index(e)] > rows) continue;
      if (best < 0 || value[as_index(e)] > value[as_index(best)]) best = e;
    }
    return best >= 0 ? best : smallest;
  }

  const PlacementInput& input_;
  const double bound_;
  const int64_t experts_;
  const std::vector<int32_t> hosts_;
  int32_t num_hosts_;
};

void check(const PlacementInput& input) {
  MOE_CHECK(std::ssize(input.rows) == input.now.experts(), "rows of {} experts, expected {}", input.rows.size(),
            input.now.experts());
  MOE_CHECK(input.hosts.empty() || std::ssize(input.hosts) == input.now.ranks(), "hosts of {} ranks, expected {}",
            input.hosts.size(), input.now.ranks());
  MOE_CHECK(input.copies.empty() || std::ssize(input.copies) == input.now.ranks(), "copies of {} ranks, expected {}",
            input.copies.size(), input.now.ranks());
}

}  // namespace

double busiest_over_mean(const ExpertMap& map, std::span<const double> rows) {
  std::vector<double> of_rank(as_index(map.ranks()));
  for (int64_t e = 0; e < map.experts(); ++e) of_rank[as_index(map.rank_of(e))] += rows[as_index(e)];
  const double all = total(rows);
  return all > 0 ? *std::max_element(of_rank.begin(), of_rank.end()) * static_cast<double>(map.ranks()) / all : 1;
}

double share_together(const ExpertMap& map, const PlacementInput& input) {
  const std::vector<int32_t> hosts = hosts_of(input);
  double together = 0;
  for (int64_t b = 0; b < map.experts(); ++b) {
    for (int64_t a = 0; a < b; ++a) {
      if (hosts[as_index(map.rank_of(a))] == hosts[as_index(map.rank_of(b))])
        together += input.pairs[as_index(pair_index(a, b))];
    }
  }
  const double all = total(input.pairs);
  return all > 0 ? together / all : 1;
}

ExpertMap balance_rows(const PlacementInput& input) {
  check(input);
  const ExpertMap even = renamed(most_even(input), input, {});
  const double mean = (total(input.rows) + total(input.copies)) / static_cast<double>(input.now.ranks());
  const double enough = Draft(input, even).busiest() + kWorthMoving * mean;
  Draft near(input, input.now);
  near.relieve(enough);
  return near.busiest() <= enough ? near.map() : even;
}

ExpertMap keep_together(const PlacementInput& input, double slack) {
  check(input);
  MOE_CHECK(std::ssize(input.pairs) == num_pairs(input.now.experts()), "{} numbers of pairs of {} experts",
            input.pairs.size(), input.now.experts());
  const ExpertMap even = renamed(most_even(input), input, {});
  const double bound = (1 + slack) * Draft(input, even).busiest();
  Draft near(input, input.now);
  near.relieve(bound);
  ExpertMap best = near.busiest() <= bound ? near.map() : even;
  double kept = share_together(best, input);
  const PairSearch search(input, bound);
  for (const ExpertMap& first : {best, even, search.collected()}) {
    const std::optional<ExpertMap> map = search.improved(first);
    if (!map) continue;
    const double share = share_together(*map, input);
    if (share <= kept + kWorthMoving) continue;
    best = renamed(*map, input, input.hosts);
    kept = share;
  }
  return best;
}

}  // namespace moe
