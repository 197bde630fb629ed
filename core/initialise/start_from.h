// Takes a run's initial weights from another run (init.from): a warm start from a model of the same shape, and sparse
// upcycling of a dense one (Komatsuzaki et al., 2023), with re-initialised units that let the experts diverge
// (drop-upcycling: Nakamura et al., 2025).
#pragma once
#include <set>
#include <string>

#include "core/step/training_state.h"

namespace moe {

struct StartReport {
  std::string checkpoint;             // the folder that was read
  int64_t step = 0;                   // step at which it was written
  int64_t copied = 0;                 // number of this rank's tensors that were copied unchanged
  std::set<std::string> upcycled;     // names of the MoE layers that were made from dense ones
  std::vector<std::string> fresh;     // tensors of this model's head that the checkpoint lacks
  std::vector<std::string> left_out;  // tensors of the checkpoint's head that this model lacks
  // Settings, as text, that make this model compute differently from the checkpoint's although all tensors fit; set by
  // initialise_run().
  std::vector<std::string> differences{};
};

// The parts of the other model that are used.
enum class KeptParts {
  all,
  features,  // all but the head
  body,      // all but the head and what belongs to it, a class token
};

// Overwrites the freshly initialised values of `state`. Tensors are matched by name. In a MoE layer in the place of a
// dense one the experts are copies of its feed-forward layer, router and state keep their initial values, and shared
// experts start with an output of 0. So wherever a token's weights sum to 1, the model computes the same as the dense
// one. Draws depend on (seed, name, element) and are the same in any layout. Throws CheckpointError that names a tensor
// where the models do not fit. Parts that are not kept, in a
// model that predicts something else, have their initial values. Of learned positions the first ones are copied. On a
// GPU in bf16 the exact values go to the optimizer's master weights, as always.
StartReport start_from(TrainingState& state, const TrainConfig& config, KeptParts kept = KeptParts::all);

}  // namespace moe
