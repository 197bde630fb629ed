// How fast a model reads a prompt and writes text.
#pragma once
#include <cstdint>
#include <string>

#include "core/step/training_state.h"

namespace moe {

struct GenerateBenchOptions {
  int64_t prompt = 128, tokens = 64;  // read at once, then one after the other
  int64_t texts = 1;                  // at a time
  int64_t rounds = 5;
  bool cache = true;
};

// Random prompts, continued by the most likely tokens. Returns one line of JSON with the medians of the rounds:
// prompt_ms and token_ms, for all texts together, and prompt_tokens_per_s and tokens_per_s. The first round is not
// counted. The prompt and the tokens must fit in `context`, for which the state was planned.
std::string bench_generate(TrainingState& state, int64_t context, const GenerateBenchOptions& options, int threads);

}  // namespace moe
