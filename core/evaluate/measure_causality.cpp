#include "core/evaluate/measure_causality.h"

#include <algorithm>
#include <utility>

#include "core/moe/causality_probe.h"
#include "core/ops/packed_weights.h"
#include "core/step/local_batch.h"
#include "core/tensor/copy.h"
#include "data/evaluation_windows.h"

namespace moe {

// Tolerance for f32 losses. A real dependence changes a loss by much more.
static constexpr double kRounding = 1e-6;

Causality measure_causality(TrainingState& state, const Split& split, int64_t context, int64_t sequences) {
  const EvaluationWindows windows(split, context, context);
  const int64_t count = std::min<int64_t>({sequences, windows.num_windows(), 2});
  Batch batch;
  windows.load(0, count, batch);
  Context& ctx = state.ctx;
  const ModeScope modes(ctx, {.training = false, .observe = false});
  const PackedWeightsScope packed(ctx);
  const auto vocab = static_cast<int32_t>(state.model->vocab());
  std::vector<int32_t> ids(batch.inputs.size());
  BatchBuffers buffers;
  const auto losses = [&](const std::vector<bool>& changed) {
    for (size_t t = 0; t < ids.size(); ++t) {
      ids[t] = changed[t] ? (batch.inputs[t] + 1 + static_cast<int32_t>(t) % 3) % vocab : batch.inputs[t];
    }
    ctx.activations->reset();
    ctx.scratch->reset();
    LocalBatch host = LocalBatch::of(batch, 0, count);
    host.inputs = ids;
    const TokenBatch tokens = to_device(ctx, host, {0, count}, context, buffers);
    state.model->forward(ctx, tokens);
    const Outcome outcome = state.model->losses(ctx, tokens);
    std::vector<char> buffer;
    const float* loss = on_host(ctx, outcome.losses, buffer).as<float>();
    return std::vector<double>(loss, loss + ids.size());
  };
  return probe_causality(count, context, losses, kRounding);
}

}  // namespace moe
