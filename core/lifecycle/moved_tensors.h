// A training state's tensors on their way into one with other experts, or with others on each rank: values and
// optimizer states in host memory, under their checkpoint names. As a checkpoint does, but mapped, and without a disk.
#pragma once
#include <map>

#include "core/lifecycle/expert_life.h"

namespace moe {

class MovedTensors {
 public:
  // Takes everything out of `state`, with the experts mapped and, of those, the ones that this rank will hold in the
  // groups `next`. Experts travel by broadcasts within their old group; sums are taken in the order of the old experts
  // and noise is drawn by (seed, step, name, element), so that no layout changes a bit. Collective.
  MovedTensors(TrainingState& state, const ProcessGroups& groups, const ProcessGroups& next, const ExpertChange& change,
               int64_t step);

  // Into a state that was made for the change's experts and for `next`.
  void write_to(TrainingState& state) const;

 private:
  struct Moved {
    std::vector<float> value;
    std::vector<std::vector<float>> states;  // of the optimizer, by kind; empty for what is not trained
  };
  void take(TrainingState& state, ParameterGroup group, std::map<std::string, Moved>& into) const;
  void map_rows(const Parameter& parameter, const ExpertMapping& mapping, const ExpertChange& change, RandomKey key);
  void map_stack(const Parameter& parameter, const ExpertMapping& mapping, const ExpertChange& change, RandomKey key,
                 const ProcessGroups& groups, const ProcessGroups& next, const std::map<std::string, Moved>& held);

  const std::vector<OptimizerStateKind> kinds_;
  std::map<std::string, Moved> tensors_;
};

// What the router of a layer knows each of its experts by: (experts, any width), the rows of all its matrices that
// count experts, one after the other.
std::vector<std::vector<double>> router_rows(TrainingState& state, const MoELayer& layer);

}  // namespace moe
