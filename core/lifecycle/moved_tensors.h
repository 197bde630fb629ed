// A training state's tensors during the move into a state with other experts, or with other experts on each rank:
// values and optimizer states in host memory, under their checkpoint names. This is like saving and loading a
// checkpoint, but with the experts mapped and without a disk.
#pragma once
#include <map>

#include "core/lifecycle/expert_lifecycle.h"

namespace moe {

class MovedTensors {
 public:
  // Takes all tensors out of `state`, with the experts mapped. Of the mapped experts it keeps those that this rank will
  // hold: by the layers' present maps (MoELayer::expert_map) if no number of experts changes, else its contiguous share
  // in the groups `next`. Experts are broadcast within their old group, sums are taken in the order of the old
  // experts, and noise is drawn by (seed, step, name, element), so results are identical to the bit in all layouts.
  // Collective.
  MovedTensors(TrainingState& state, const ProcessGroups& groups, const ProcessGroups& next, const ExpertChange& change,
               int64_t step);

  // Writes the tensors to a state that was made for the change's experts and for `next`.
  void write_to(TrainingState& state) const;

 private:
  struct Moved {
    std::vector<float> value;
    std::vector<std::vector<float>> states;  // of the optimizer, by kind; empty for what is not trained
  };
  // The present map, and the experts that this rank will hold.
  struct Places {
    const ExpertMap& before;
    std::vector<int64_t> mine;
  };
  void take(TrainingState& state, ParameterGroup group, std::map<std::string, Moved>& into) const;
  void map_rows(const Parameter& parameter, const ExpertMapping& mapping, const ExpertChange& change, RandomKey key);
  void map_stack(const Parameter& parameter, const ExpertMapping& mapping, const ExpertChange& change, RandomKey key,
                 const ProcessGroups& groups, const Places& places, const std::map<std::string, Moved>& held);

  const std::vector<OptimizerStateKind> kinds_;
  std::map<std::string, Moved> tensors_;
};

// The router parameters of each of a layer's experts: (experts, any width), the rows of all its matrices with one row
// per expert, concatenated.
std::vector<std::vector<double>> router_rows(TrainingState& state, const MoELayer& layer);

}  // namespace moe
