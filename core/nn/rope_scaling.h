// RopeScaling: a change of the rotary frequencies (model.attention.rope_scaling). Members are in rope_scalings/, the
// table is in rope_scaling.cpp.
#pragma once
#include "core/config/model_config.h"
#include "core/ops/rope_frequencies.h"

namespace moe {

class RopeScaling {
 public:
  struct Setup {};

  virtual ~RopeScaling() = default;
  // Sets the members of `frequencies` that describe the change.
  virtual void apply(RopeFrequencies& frequencies) const = 0;
};

// The frequencies of a model's attention; without dimensions unless its position is rope. Throws UsageError for options
// that contradict each other.
RopeFrequencies rope_frequencies(const ModelConfig& config);

}  // namespace moe
