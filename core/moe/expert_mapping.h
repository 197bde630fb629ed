// What experts are made of when their number or their contents change during a run: each new expert is a weighted sum
// of old ones. The same mapping serves the experts' weights, everything else that counts experts (rows of the router, a
// bias; Parameter::per_expert) and the optimizer's states; core/lifecycle/moved_tensors.h applies it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace moe {

struct ExpertOrigin {
  int64_t expert = 0;
  double weight = 1;
  bool operator==(const ExpertOrigin&) const = default;
};

struct MappedExpert {
  // In the order of the old experts. The weights sum to 1.
  std::vector<ExpertOrigin> origins;
  // The new expert's gradients over those of all its origins together; states of the optimizer are scaled by it
  // (StateMerge). 1/c for one of c copies, which share the tokens; 0: the optimizer forgets the origins.
  double gradient_scale = 1;
  bool noisy = false;  // gets the event's noise
  bool operator==(const MappedExpert&) const = default;
};

struct ExpertMapping {
  int64_t before = 0;                 // experts
  std::vector<MappedExpert> experts;  // the new ones

  int64_t after() const { return static_cast<int64_t>(experts.size()); }
  bool is_identity() const;
  // Of each old expert: new ones that it is an origin of.
  std::vector<int64_t> copies() const;
  // Whether every expert was copied so often, and nothing else was done; 0: not so.
  int64_t uniform_copies() const;
  bool operator==(const ExpertMapping&) const = default;
};

ExpertMapping identity_mapping(int64_t experts);

// The experts, and behind them a copy of each in `sources`, which may name one several times. With `noisy` the copies
// get noise, the experts themselves stay.
ExpertMapping growing(int64_t experts, std::span<const int64_t> sources, bool noisy);

// Without those in `which`.
ExpertMapping pruning(int64_t experts, std::span<const int64_t> which);

// Each group becomes one expert, in the place of its first; in it experts weigh as much as they are used, all alike if
// none is. Groups have no expert in common.
ExpertMapping merging(std::span<const double> use, const std::vector<std::vector<int64_t>>& groups);

// Each of `which`, the least used first, becomes a copy with noise of the busiest of the others, whose use the copy
// then halves: so several go to different experts. The optimizer forgets them.
ExpertMapping restarting(std::span<const double> use, std::span<const int64_t> which);

// Experts from the least used to the busiest; ties go to the larger number first, which came later.
std::vector<int64_t> by_use(std::span<const double> use);

// What each new expert will be used: copies share the use of their origin.
std::vector<double> mapped_use(const ExpertMapping& mapping, std::span<const double> use);

}  // namespace moe
