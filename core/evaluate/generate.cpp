#include "core/evaluate/generate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/token.h"
#include "core/ops/elementwise.h"
#include "core/ops/packed_weights.h"
#include "core/step/local_batch.h"
#include "core/tensor/copy.h"

namespace moe {

// Draws one of the first `vocab` ids. A model may have further logits, which belong to no token.
static int32_t draw(const float* logits, int64_t vocab, double temperature, double uniform) {
  const int64_t best = std::max_element(logits, logits + vocab) - logits;
  if (temperature <= 0) return static_cast<int32_t>(best);
  double total = 0;
  for (int64_t i = 0; i < vocab; ++i)
    total += std::exp((static_cast<double>(logits[i]) - static_cast<double>(logits[best])) / temperature);
  double left = uniform * total;
  for (int64_t i = 0; i < vocab; ++i) {
    left -= std::exp((static_cast<double>(logits[i]) - static_cast<double>(logits[best])) / temperature);
    if (left <= 0) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(best);
}

std::vector<int32_t> generate(TrainingState& state, const std::vector<int32_t>& prompt,
                              const GenerateOptions& options) {
  Context& ctx = state.ctx;
  MOE_CHECK(!prompt.empty() && wide(ctx.dtype) == DType::f32, "a prompt of {} tokens", prompt.size());
  const ModeScope modes(ctx, {.training = false, .observe = false});
  const PackedWeightsScope packed(ctx);
  const RandomKey key{options.seed, RandomPurpose::generation, 0, 0};
  std::vector<int32_t> text = prompt, targets;
  std::vector<char> buffer;
  BatchBuffers buffers;
  ContextMemory memory(ctx, state.model->memory_shape(), 1);
  int64_t remembered = 0;  // leading tokens that are in the context memory
  const auto read = [&](int64_t first, int64_t time) {
    targets.assign(static_cast<size_t>(time), kIgnoreTarget);
    ctx.activations->reset();
    ctx.scratch->reset();
    const auto seen = std::span(std::as_const(text)).subspan(static_cast<size_t>(first), static_cast<size_t>(time));
    const LocalBatch host{.sequences = 1, .time = time, .inputs = seen, .targets = targets, .global_sequences = 1};
    TokenBatch batch = to_device(ctx, host, {0, 1}, time, buffers);
    if (memory) batch.memory = &memory;
    state.model->forward(ctx, batch);
    return batch;
  };
  for (int64_t i = 0; i < options.tokens && !(options.stop && options.stop()); ++i) {
    while (memory && static_cast<int64_t>(text.size()) - remembered > options.context) {
      state.model->remember(ctx, read(remembered, options.context));
      memory.advance(options.context);
      remembered += options.context;
    }
    const auto size = static_cast<int64_t>(text.size());
    const int64_t time = std::min<int64_t>(options.context, size - remembered);
    read(size - time, time);
    const Tensor logits = state.model->logits(ctx, time - 1, 1), exact = ctx.allocate_wide(logits.shape);
    convert(ctx, exact, logits);
    text.push_back(draw(on_host(ctx, exact, buffer).as<float>(), state.model->vocab(), options.temperature,
                        key.uniform(static_cast<uint64_t>(i))));
  }
  return {text.begin() + static_cast<int64_t>(prompt.size()), text.end()};
}

}  // namespace moe
