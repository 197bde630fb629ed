// How new experts are made from old ones when their number or contents change during a run: each new expert is a
// weighted sum of old ones. The same mapping is applied to the experts' weights, to everything else with one entry per
// expert (rows of the router, a bias; Parameter::per_expert) and to the optimizer's states;
// core/lifecycle/moved_tensors.h applies it.
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
  // Ratio of the new expert's gradient to the sum of its origins' gradients; the optimizer's states are scaled by it
  // (StateMerge). 1/c for one of c copies, which share the tokens; 0: the optimizer's states are reset.
  double gradient_scale = 1;
  bool noisy = false;  // the event's noise is added
  bool operator==(const MappedExpert&) const = default;
};

struct ExpertMapping {
  int64_t before = 0;                 // number of old experts
  std::vector<MappedExpert> experts;  // the new ones

  int64_t after() const { return static_cast<int64_t>(experts.size()); }
  bool is_identity() const;
  // For each old expert: the number of new experts that it is an origin of.
  std::vector<int64_t> copies() const;
  // The number of copies of each expert if all experts were copied equally often and nothing else was done; else 0.
  int64_t uniform_copies() const;
  bool operator==(const ExpertMapping&) const = default;
};

ExpertMapping identity_mapping(int64_t experts);

// The experts, followed by a copy of each expert in `sources`, which may name one several times. With `noisy` the
// copies get noise; the original experts stay unchanged.
ExpertMapping growing(int64_t experts, std::span<const int64_t> sources, bool noisy);

// All experts except those in `which`.
ExpertMapping pruning(int64_t experts, std::span<const int64_t> which);

// Each group becomes one expert, in the place of its first expert. Experts are weighted by their use, or equally if
// none of the group was used. Groups must be disjoint.
ExpertMapping merging(std::span<const double> use, const std::vector<std::vector<int64_t>>& groups);

// Each of `which`, given least used first, becomes a noisy copy of the most used of the other experts. That expert's
// use is then halved, so several restarts copy different experts. The optimizer's moments of the copies are reset.
ExpertMapping restarting(std::span<const double> use, std::span<const int64_t> which);

// Experts in order of use, least used first. Ties: the larger index, which was added later, comes first.
std::vector<int64_t> by_use(std::span<const double> use);

// The expected use of each new expert: copies share the use of their origin.
std::vector<double> mapped_use(const ExpertMapping& mapping, std::span<const double> use);

}  // namespace moe
