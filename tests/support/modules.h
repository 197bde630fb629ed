// Functions shared by the tests of modules.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "core/base/token.h"
#include "core/nn/parameter.h"
#include "core/nn/token_batch.h"
#include "tests/support/gradient_check.h"
#include "tests/support/test_context.h"

namespace moe::test {

inline std::vector<Differentiable> parameters_of(const ParameterStore& store) {
  std::vector<Differentiable> result;
  for (const Parameter& p : store.parameters()) {
    if (p.group == ParameterGroup::untrained) continue;
    result.push_back({p.name, p.value, p.gradient});
  }
  return result;
}

// Values that do not hide errors: no norm weight is 1, no matrix is nearly zero.
inline void randomise(const ParameterStore& store, double scale) {
  uint64_t stream = 0;
  for (const Parameter& p : store.parameters()) {
    const RandomKey key{.seed = 6, .purpose = RandomPurpose::test, .step = stream++};
    for (int64_t i = 0; i < p.value.size(); ++i) {
      set(p.value, i, (p.decay ? 0 : 1) + scale * key.normal(static_cast<uint64_t>(i)));
    }
  }
}

// A whole step's batch on one rank, without padding. Each token has a loss, as if the model had predicted something.
inline TokenBatch make_batch(TestContext& ctx, int64_t sequences, int64_t time) {
  const int64_t tokens = sequences * time;
  TokenBatch batch{sequences, time,     ctx.random_i32({tokens}, 5, 900), ctx.random_i32({tokens}, 5, 901),
                   tokens,    sequences};
  batch.losses = {.losses = ctx.normal({tokens}, 902), .targets = batch.targets};
  return batch;
}

// Gives a step's only batch other targets, and counts those that are scored, as to_device() does.
inline void set_targets(TokenBatch& batch, Tensor targets) {
  batch.targets = targets;
  if (batch.losses) batch.losses.targets = targets;
  batch.unscored = std::count(targets.as<int32_t>(), targets.as<int32_t>() + targets.size(), kIgnoreTarget);
  batch.global_tokens = batch.scored();
}

}  // namespace moe::test
