#include "core/model/output_head.h"

#include <algorithm>

#include "core/ops/bias.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/matmul.h"
#include "core/ops/packed_weights.h"
#include "core/tensor/compute_parts.h"

namespace moe {

// Logits are computed, scored and overwritten by gradients in chunks of about this many bytes, so that they stay in the
// cache and never need memory for the whole batch.
static constexpr int64_t kLogitBytes = int64_t{8} << 20;
// On a GPU the products need many rows to be efficient, and logits do not fit the cache anyway.
static constexpr int64_t kLogitBytesOnDevice = int64_t{512} << 20;

OutputHead::OutputHead(Parameter& weight, Parameter* bias, SampleSignalSet signals, Scheduled smoothing)
    : weight_(weight), bias_(bias), signals_(signals), smoothing_(std::move(smoothing)) {}

void OutputHead::product(Context& ctx, Tensor y, ConstTensor x) const {
  linear_forward(ctx, y, x, weight_.value, ctx.products);
  if (bias_) bias_forward(ctx, y, bias_->value);
}

Tensor OutputHead::logits(Context& ctx, ConstTensor x) const {
  const Tensor result = ctx.allocate(Shape{x.dim(0), classes()});
  product(ctx, result, x);
  return result;
}

void OutputHead::backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor x) const {
  linear_backward_weight(ctx, weight_.gradient, d_y, x, ctx.products);
  if (bias_) bias_backward(ctx, bias_->gradient, d_y);
  linear_backward_input(ctx, d_x, d_y, weight_.value, false, ctx.products);
}

Outcome OutputHead::run(Context& ctx, const Predictions& p, Tensor d_x, double gradient_scale) {
  const int64_t rows = p.x.dim(0);
  const ComputeScope compute(ctx, ComputePart::head, ComputeDirection::forward, rows);
  Outcome outcome{ctx.allocate_wide(Shape{rows}), ctx.allocate(Shape{rows}, DType::i32), {}, p.targets};
  const bool measured = d_x && signals_.any();
  TokenSignals signals{outcome.losses};
  CrossEntropyExtras extras;
  if (measured && (measures(SampleSignal::entropy) || measures(SampleSignal::gradient))) {
    extras.entropy = ctx.allocate_wide(Shape{rows});
    extras.residual = ctx.allocate_wide(Shape{rows});
    signals.entropy = extras.entropy, signals.residual = extras.residual, signals.hidden = p.x;
  }
  const int64_t bytes = ctx.device == Device::cpu ? kLogitBytes : kLogitBytesOnDevice;
  const int64_t fitting = bytes / (classes() * static_cast<int64_t>(size_of(ctx.dtype)));
  const int64_t chunk = std::clamp<int64_t>(fitting, 64, std::max<int64_t>(rows, 64));
  const PackedWeightsScope packed(ctx, rows > chunk);
  ScratchScope scratch(ctx);
  const Tensor logits = scratch.allocate(Shape{std::min(chunk, rows), classes()});
  for (int64_t begin = 0; begin < rows; begin += chunk) {
    const int64_t count = std::min(chunk, rows - begin);
    const Tensor part = logits.slice(0, count);
    const ConstTensor x = p.x.slice(begin, count);
    product(ctx, part, x);
    const CrossEntropyExtras chunk_extras{p.weights && d_x ? p.weights.slice(begin, count) : ConstTensor{},
                                          extras.entropy ? extras.entropy.slice(begin, count) : Tensor{},
                                          extras.residual ? extras.residual.slice(begin, count) : Tensor{},
                                          now(smoothing_, ctx)};
    cross_entropy(ctx, outcome.losses.slice(begin, count), outcome.correct.slice(begin, count), part,
                  p.targets.slice(begin, count), gradient_scale, chunk_extras);
    if (!d_x) continue;
    backward(ctx, d_x.slice(begin, count), part, x);
  }
  if (measured) {
    signals.routing = p.routing;
    outcome.signals = ctx.allocate_wide(Shape{rows / p.per_sample, kNumMeasuredSignals});
    sample_signals(ctx, outcome.signals, signals, p.targets, p.per_sample);
  }
  return outcome;
}

}  // namespace moe
