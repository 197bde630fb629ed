// A run's initial weights from another run (init.from): a warm start from a model of the same shape, and sparse
// upcycling of a dense one (Komatsuzaki et al., 2023), with re-initialised units that let the experts part
// (drop-upcycling: Nakamura et al., 2025).
#pragma once
#include <set>
#include <string>

#include "core/step/training_state.h"

namespace moe {

struct StartReport {
  std::string checkpoint;             // the folder that was read
  int64_t step = 0;                   // at which it was written
  int64_t copied = 0;                 // tensors that were taken as they are, of this rank
  std::set<std::string> upcycled;     // names of the MoE layers that were made of dense ones
  std::vector<std::string> fresh;     // tensors of this model's head that the checkpoint has not,
  std::vector<std::string> left_out;  // and of the checkpoint's
  // What this model computes otherwise than the checkpoint's though all tensors fit, in words; begin_run() finds it.
  std::vector<std::string> differences{};
};

// Overwrites the freshly initialised values of `state`. Tensors are taken by name. Of a MoE layer in the place of a
// dense one the experts are copies of its feed-forward layer, router and state stay as they were initialised, and
// shared experts start with an output of 0; so wherever a token's weights sum to 1 the model computes what the dense
// one did. Draws depend on (seed, name, element): the same in any layout. Throws CheckpointError where the models do
// not fit, naming a tensor. Without `keep_head`, for a model that predicts something else, the head and what belongs to
// it (a class token) stay as they were initialised. Of learned positions the first are taken. On a GPU in bf16 the
// exact values are the optimizer's, as always.
StartReport start_from(TrainingState& state, const TrainConfig& config, bool keep_head = true);

}  // namespace moe
