// Text from a model, one token after the other.
#pragma once
#include <vector>

#include "core/step/training_state.h"

namespace moe {

struct GenerateOptions {
  int64_t tokens = 200;
  int64_t context = 0;
  double temperature = 0.8;  // 0: the most likely token
  uint64_t seed = 1;
};

// With a memory the text is read in segments of `context` tokens, of which each remembers those before it; without, the
// last `context` tokens are read anew for every token. Continues `prompt` (at least one token). Collective over the
// expert group, every rank with the same prompt; the same text on every rank.
std::vector<int32_t> generate(TrainingState& state, const std::vector<int32_t>& prompt, const GenerateOptions& options);

}  // namespace moe
