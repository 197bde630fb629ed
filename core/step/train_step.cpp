#include "core/step/train_step.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <span>

#include "comm/traffic.h"
#include "core/model/model_summary.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/packed_weights.h"
#include "core/optim/gradient_norm.h"
#include "core/tensor/compute_parts.h"
#include "core/tensor/copy.h"
#include "data/curriculum/curriculum.h"

namespace moe {

bool StepOutcome::finite() const {
  return std::isfinite(loss) && std::isfinite(norm) && std::isfinite(auxiliary);
}

TrainStep::TrainStep(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups, const RunLength& run)
    : state_(state),
      config_(config),
      groups_(groups),
      clip_norm_(config.train.clip_norm.make(run)),
      reduction_(state.parameters, groups,
                 {.bucket = config.parallel.bucket,
                  .wire = config.parallel.reduce_in == "bf16" ? DType::bf16 : DType::f32,
                  .during_backward = config.parallel.reduce_during_backward,
                  .complete =
                      [&model = *state.model](Context& ctx, int64_t begin, int64_t end) {
                        const std::span<MoELayer* const> layers = model.moe_layers();
                        for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
                          if ((*layer)->layer() >= begin && (*layer)->layer() < end)
                            (*layer)->add_copies_gradients(ctx);
                        }
                      }},
                 state.optimizer ? state.optimizer->plan() : std::vector<GradientBucket>{}) {
  if (config.parallel.reduce_in == "bf16" && !groups.world->can_send_bf16()) {
    raise<UsageError>("{}: NCCL adds in the type that it sends; use f32, or parallel.communication: mpi",
                      config.parallel.where("reduce_in"));
  }
}

// Number of tokens in the step's global batch.
static int64_t tokens_of(const LocalBatch& batch) {
  return batch.global_tokens > 0 ? batch.global_tokens : batch.global_sequences * batch.time;
}

using Clock = std::chrono::steady_clock;

static double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Micro-batch `index` of this rank, possibly without sequences. Starts with empty arenas.
TokenBatch TrainStep::micro_batch(const LocalBatch& batch, int64_t index) {
  const Share share = share_of(batch.sequences, config_.train.micro_batches, index);
  state_.ctx.activations->reset();
  state_.ctx.scratch->reset();
  state_.ctx.first_token = (batch.first_sequence + share.begin) * batch.time;
  TokenBatch micro = to_device(state_.ctx, batch, share, state_.model->predictions_per_sample(batch.time), buffers_);
  if (state_.memory) micro.memory = &state_.memory, micro.first_row = share.begin;
  return micro;
}

// Copies a micro-batch's signals to their place among the step's. The host has waited for the losses already, so this
// does not synchronise.
void TrainStep::collect_signals(const TokenBatch& micro, ConstTensor signals) {
  const ConstTensor host = on_host(state_.ctx, signals, host_signals_);
  const int64_t first = state_.ctx.first_token / (micro.time * micro.modalities);
  const size_t begin = static_cast<size_t>(first) * kNumMeasuredSignals;
  for (size_t i = 0; i < static_cast<size_t>(host.size()); ++i) {
    signals_[begin + i] = host.dtype == DType::f64 ? host.as<double>()[i] : static_cast<double>(host.as<float>()[i]);
  }
}

// Balance losses are functions of sums over the whole step, and some models' losses of all its samples. With several
// micro-batches the gradients of the first need those of the last, so all forward passes are run once before, for these
// alone.
void TrainStep::collect_sums(const LocalBatch& batch) {
  const PhaseScope phase(state_.ctx.traffic, "forward for sums");
  Model& model = *state_.model;
  for (int64_t m = 0; m < config_.train.micro_batches; ++m) model.forward(state_.ctx, micro_batch(batch, m));
  state_.complete_sums(groups_);
}

// Sums over the step's micro-batches, and then over the ranks.
struct TrainStep::Totals {
  double losses = 0, predictions = 0;  // sum over the scored predictions, and their number
  double interrupted, terminated;      // number of ranks that received SIGINT, and SIGTERM
  double correct = 0, seconds = 0;
};

void TrainStep::clear_sums(const LocalBatch& batch) {
  Model& model = *state_.model;
  std::fill(model.sums().begin(), model.sums().end(), 0.0);
  std::fill(model.loss_sums().begin(), model.loss_sums().end(), 0.0);
  model.begin(batch.global_sequences);
  signals_.clear();
  if (measured_signals(config_).any()) {
    signals_.resize(static_cast<size_t>(batch.global_sequences) * kNumMeasuredSignals);
  }
}

void TrainStep::add_micro_batch(const LocalBatch& batch, int64_t index, Totals& totals) {
  Context& ctx = state_.ctx;
  Model& model = *state_.model;
  const int64_t predictions = model.predictions_per_sample(batch.time);
  // Of a text each scored token is a prediction.
  const int64_t all = predictions == batch.time ? tokens_of(batch) : batch.global_sequences * predictions;
  const double gradient_scale = 1.0 / static_cast<double>(std::max<int64_t>(all, 1));
  const TokenBatch micro = micro_batch(batch, index);
  const auto start = Clock::now();
  {
    const PhaseScope phase(ctx.traffic, "forward");
    model.forward(ctx, micro);
    if (config_.train.micro_batches == 1) state_.complete_sums(groups_);
  }
  times_.forward += seconds_since(start);
  const PhaseScope phase(ctx.traffic, "backward");
  const auto middle = Clock::now();
  const Outcome outcome = model.losses_and_backward(ctx, micro, gradient_scale);
  const LossSums sums = loss_sums(ctx, outcome.losses, outcome.correct, outcome.targets);
  totals.losses += sums.loss;
  totals.predictions += sums.tokens;
  totals.correct += sums.correct;
  model.observe_losses(ctx, outcome);
  if (outcome.signals) collect_signals(micro, outcome.signals);
  model.remember(ctx, micro);
  times_.backward += seconds_since(middle);
}

StepOutcome TrainStep::accumulate(const LocalBatch& batch, int64_t update, int signal) {
  return accumulate(batch, update, signal, GradientReduction::Sums::everywhere);
}

StepOutcome TrainStep::accumulate(const LocalBatch& batch, int64_t update, int signal, GradientReduction::Sums sums) {
  const auto start = Clock::now();
  times_ = {};
  Context& ctx = state_.ctx;
  Model& model = *state_.model;
  const ModeScope modes(ctx, {.training = true, .observe = true});
  ctx.step = static_cast<uint64_t>(update);
  clear_sums(batch);
  if (batch.begins) state_.memory.clear();

  const int64_t micro_batches = config_.train.micro_batches;
  const bool sums_first = micro_batches > 1 && model.needs_forward_first();
  Totals totals{.interrupted = signal == SIGINT ? 1.0 : 0.0, .terminated = signal == SIGTERM ? 1.0 : 0.0};
  {
    const PackedWeightsScope packed(ctx, micro_batches > 1);
    if (sums_first) collect_sums(batch);
    ctx.observe = !sums_first;
    for (int64_t m = 0; m < micro_batches; ++m) {
      if (m == micro_batches - 1) reduction_.begin(ctx, sums);
      add_micro_batch(batch, m, totals);
    }
  }
  state_.memory.advance(batch.time);
  ctx.observe = true;
  if (micro_batches > 1 && !sums_first) state_.complete_sums(groups_);

  const auto reducing = Clock::now();
  {
    const PhaseScope phase(ctx.traffic, "reduction");
    reduction_.finish(ctx);
  }
  times_.reduction = seconds_since(reducing);
  totals.seconds = seconds_since(start);
  groups_.world->all_reduce_sum(sums_tensor(totals));
  if (!model.loss_sums().empty()) groups_.world->all_reduce_sum(as_tensor(model.loss_sums()));
  // Every sample is zero on all ranks but one, so the sum is an exact gather.
  if (!signals_.empty()) groups_.world->all_reduce_sum(as_tensor(std::span(signals_)));
  StepOutcome outcome;
  const auto updating = Clock::now();
  const auto all = static_cast<double>(tokens_of(batch));
  const int64_t per_sample = model.predictions_per_sample(batch.time);
  outcome.tokens = per_sample == batch.time
                       ? totals.predictions
                       : totals.predictions * all / static_cast<double>(batch.global_sequences * per_sample);
  outcome.accuracy = totals.correct / std::max(totals.predictions, 1.0);
  outcome.loss = totals.losses / std::max(totals.predictions, 1.0);
  for (const MoELayer* layer : model.moe_layers()) outcome.auxiliary += layer->auxiliary_loss();
  outcome.norm = reduction_.norm(ctx);
  times_.update = seconds_since(updating);
  outcome.seconds = totals.seconds / static_cast<double>(groups_.world->size());
  outcome.signal = totals.interrupted > 0 ? SIGINT : totals.terminated > 0 ? SIGTERM : 0;
  return outcome;
}

// Number of operations of an update whose sums are complete.
double TrainStep::flops(int64_t tokens, int64_t time) const {
  const Model& model = *state_.model;
  double sum = static_cast<double>(tokens) * dense_flops_per_token(state_.parameters, model, time);
  for (const MoELayer* layer : model.moe_layers()) {
    const LoadStats& load = layer->load();
    sum += layer->flops_per_assignment() * load.assignments() * (1 - load.dropped_share());
  }
  return sum;
}

// The mean over the layers whose routers adjust themselves together; none without such layers.
static std::optional<double> shared_experts_per_token(const Model& model) {
  double sum = 0, layers = 0;
  for (const MoELayer* layer : model.moe_layers()) {
    const LoadStats& load = layer->load();
    if (!layer->traits().shares_target || load.tokens() == 0) continue;
    sum += load.assignments() / load.tokens();
    layers += 1;
  }
  return layers > 0 ? std::optional(sum / layers) : std::nullopt;
}

StepOutcome TrainStep::run(const LocalBatch& batch, int64_t update, double learning_rate, int signal) {
  const auto sums =
      state_.optimizer->is_sharded() ? GradientReduction::Sums::own_parts : GradientReduction::Sums::everywhere;
  StepOutcome outcome = accumulate(batch, update, signal, sums);
  const auto start = Clock::now();
  outcome.learning_rate = learning_rate;
  // What replaces computing by waiting makes no values.
  const bool is_timed = state_.ctx.compute && state_.ctx.compute->replaces();
  if (!outcome.finite() && !is_timed) return outcome;
  const PhaseScope phase(state_.ctx.traffic, "update");
  const double limit = clip_norm_.at(static_cast<uint64_t>(update));
  state_.optimizer->step(
      state_.ctx,
      {.number = update, .learning_rate = learning_rate, .gradient_scale = clip_scale(outcome.norm, limit)});
  for (MoELayer* layer : state_.model->moe_layers()) layer->update_copies(state_.ctx);
  const UpdateFacts facts{.loss = outcome.loss,
                          .flops = flops(tokens_of(batch), batch.time),
                          .seconds = outcome.seconds,
                          .shared_experts_per_token = shared_experts_per_token(*state_.model)};
  for (MoELayer* layer : state_.model->moe_layers()) layer->after_step(state_.ctx, facts);
  times_.update += seconds_since(start);
  return outcome;
}

}  // namespace moe
