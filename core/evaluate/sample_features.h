// The features that a frozen model computes for labelled samples.
#pragma once
#include <cstdint>
#include <vector>

#include "core/step/training_state.h"
#include "data/evaluation_set.h"

namespace moe {

struct SampleFeatures {
  int64_t width = 0;            // d_model
  std::vector<float> rows;      // (samples, width): the inputs of the model's head
  std::vector<int32_t> labels;  // (samples)

  int64_t samples() const { return static_cast<int64_t>(labels.size()); }
};

// Collective; every rank gets the features of all samples of the set. `sequences`: computed at a time on each rank. The
// model must make one prediction per sequence (a classifier).
SampleFeatures sample_features(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set,
                               int64_t sequences);

}  // namespace moe
