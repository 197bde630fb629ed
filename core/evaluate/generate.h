// Generates text from a model, one token after the other.
#pragma once
#include <functional>
#include <vector>

#include "core/step/training_state.h"

namespace moe {

struct GenerateOptions {
  int64_t tokens = 200;
  int64_t context = 0;
  double temperature = 0.8;  // 0: the most likely token
  uint64_t seed = 1;
  // Called by every rank before each token; must return the same on all of them. If it returns true, the text ends.
  std::function<bool()> stop{};
};

// Continues `prompt` (at least one token). With a context memory the text is read in segments of `context` tokens, each
// of which attends to those before it; without, the last `context` tokens are read again for every token. Collective
// over the expert group; every rank passes the same prompt and gets the same text.
std::vector<int32_t> generate(TrainingState& state, const std::vector<int32_t>& prompt, const GenerateOptions& options);

}  // namespace moe
