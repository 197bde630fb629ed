#include "core/moe/logit_router.h"

#include <algorithm>
#include <cmath>

#include "core/ops/bias.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/gating.h"
#include "core/ops/matmul.h"
#include "core/ops/modality.h"
#include "core/ops/router_noise.h"
#include "core/ops/routing_sums.h"
#include "core/ops/temperature.h"

namespace moe {

LogitOptions::~LogitOptions() = default;
LogitRouter::~LogitRouter() = default;
SoftmaxRouter::~SoftmaxRouter() = default;

void LogitOptions::logit_fields(FieldVisitor& v) {
  v.schedule("temperature", temperature, "Divisor of the router's logits.");
  v.field("learn_temperature", learn_temperature, "train the temperature, starting at the value of `temperature`");
  v.schedule("jitter", jitter,
             "Multiplicative noise on the router's input in training, drawn from U[1 - jitter, 1 + jitter].");
  v.schedule("input_dropout", input_dropout,
             "Dropout rate of the router's input in training; the experts get the whole input.");
  v.schedule(
      "expert_dropout", expert_dropout,
      "Probability with which an expert is excluded from a token's choice in training; at least k experts remain.");
  v.field("expert_dropout_per", expert_dropout_per,
          "token: experts are excluded for each token separately; sequence: for all tokens of a sequence together",
          {"token", "sequence"});
}

void SoftmaxOptions::softmax_fields(FieldVisitor& v) {
  v.schedule("k", k, "Experts per token.");
  weight_fields(v);
}

void SoftmaxOptions::weight_fields(FieldVisitor& v) {
  v.field("softmax", softmax, "whether the weights are a softmax over the chosen experts or over all experts",
          {"chosen", "all"});
  v.field("renormalise", renormalise,
          "divide the chosen experts' weights by their sum (with softmax: chosen the sum is already 1)");
  logit_fields(v);
}

// Events of moe.lifecycle can make `unit` a quotient. Its rounding could then put a k equal to all experts outside of
// the range.
static Range<double> range_of_k(const Range<double>& declared, int64_t experts, double unit) {
  return {1 / unit, static_cast<double>(experts) / unit * (unit == 1 ? 1 : 1 + 1e-12), declared.at_most};
}

ScheduledK::ScheduledK(const ScheduleField& field, const RunLength& run, int64_t experts, double unit)
    : value_(field.make(run, range_of_k(field.range(), experts, unit))),
      unit_(unit),
      experts_(experts),
      largest_(rounded(value_.largest())),
      smallest_(rounded(value_.smallest())),
      last_(at(static_cast<uint64_t>(std::max<int64_t>(run.total_updates, 1) - 1))) {
  const int64_t updates = std::max<int64_t>(run.total_updates, 1), samples = std::min<int64_t>(updates, 4096);
  double sum = 0;
  for (int64_t i = 0; i < samples; ++i) sum += static_cast<double>(at(static_cast<uint64_t>(updates * i / samples)));
  mean_ = sum / static_cast<double>(samples);
}

int64_t ScheduledK::rounded(double value) const {
  return std::clamp<int64_t>(std::lround(unit_ * value), 1, experts_);
}

int64_t ScheduledK::at(uint64_t update) const {
  return rounded(value_.at(update));
}

RouterTraits ScheduledK::traits() const {
  RouterTraits traits;
  traits.k = largest_;
  traits.final_k = static_cast<double>(last_);
  traits.mean_k = mean_;
  traits.k_at = [k = *this](uint64_t update) { return static_cast<double>(k.at(update)); };
  return traits;
}

LogitRouter::LogitRouter(const Setup& setup, const LogitOptions& options, int64_t keep)
    : experts_(setup.experts),
      layer_(static_cast<int>(setup.random_layer())),
      jitter_(options.jitter.make(setup.run)),
      input_dropout_(options.input_dropout.make(setup.run)),
      expert_dropout_(options.expert_dropout.make(setup.run)),
      drop_per_sequence_(options.expert_dropout_per == "sequence"),
      keep_(std::min(keep, setup.experts)),
      temperature_(options.temperature.make(setup.run)),
      measures_(*setup.measures) {
  if (setup.moe.modality_bias) {
    require_modalities(setup);
    modality_bias_ = &setup.add(per_expert({.name = setup.name + ".router.modality_bias",
                                            .shape = Shape{setup.experts, setup.modalities},
                                            .group = ParameterGroup::shared,
                                            .initialisation = {Initialisation::Kind::constant, 0},
                                            .decay = false}));
  }
  if (options.learn_temperature) {
    if (temperature_.smallest() != temperature_.largest()) {
      raise<UsageError>(
          "{}: the temperature cannot both follow a schedule and be learned (learn_temperature): give a number, or set "
          "learn_temperature: false",
          options.temperature.place().to_string());
    }
    Parameter temperature{.name = setup.name + ".router.temperature",
                          .shape = Shape{1},
                          .group = ParameterGroup::shared,
                          .initialisation = {Initialisation::Kind::constant, temperature_.largest()}};
    temperature.decay = false;
    learned_temperature_ = &setup.add(temperature);
    temperature_figure_ = measures_.add_figure("router_temperature");
  }
}

void LogitRouter::add_weight(const Setup& setup, ParameterGroup group, PerExpert copies) {
  weight_ = &setup.add(per_expert({.name = setup.name + ".router.weight",
                                   .shape = Shape{setup.experts, setup.d_model()},
                                   .group = group,
                                   .initialisation = {Initialisation::Kind::normal, setup.init_std}},
                                  copies));
  traits_.directions = {weight_};
  traits_.expert_rows = weight_;
  if (setup.router_bias) {
    logit_bias_ = &setup.add(per_expert(bias_vector(setup.name + ".router.logit_bias", experts_, group), copies));
  }
}

Tensor LogitRouter::modalities_of(Context& ctx, ScratchScope& scratch, const TokenBatch& batch) const {
  const Tensor one_hot = scratch.allocate(Shape{batch.tokens(), batch.modalities});
  modality_one_hot(ctx, one_hot, {.modality = 0, .modalities = batch.modalities, .time = batch.time});
  return one_hot;
}

void LogitRouter::logits_forward(Context& ctx, const TokenBatch&, Routing& routing) {
  MOE_CHECK(weight_, "a router that does not override logits_forward() must call add_weight()");
  routing.logits = ctx.allocate_wide(Shape{routing.x.dim(0), experts_});
  linear_forward(ctx, routing.logits, routing.x, weight_->value);
  if (logit_bias_) bias_forward(ctx, routing.logits, logit_bias_->value);
}

void LogitRouter::logits_backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_logits,
                                  const Routing& routing) {
  if (weight_->gradient) linear_backward_weight(ctx, weight_->gradient, d_logits, routing.x);
  if (logit_bias_ && logit_bias_->gradient) bias_backward(ctx, logit_bias_->gradient, d_logits);
  linear_backward_input(ctx, d_x, d_logits, weight_->value, true);
}

void LogitRouter::allocate_choice(Context& ctx, Routing& routing, int64_t slots) const {
  const int64_t tokens = routing.x.dim(0);
  routing.probabilities = ctx.allocate_wide(Shape{tokens, experts_});
  routing.logsumexp = ctx.allocate_wide(Shape{tokens});
  routing.indices = ctx.allocate(Shape{tokens, slots}, DType::i32);
  routing.weights = ctx.allocate_wide(Shape{tokens, slots});
}

void LogitRouter::mask_closed(Context& ctx, Tensor logits) const {
  if (!closed_ || logits.dim(0) == 0) return;
  ConstTensor closed = closed_;
  if (closed.shape.rank() == 2) closed = closed.slice(ctx.first_token, logits.dim(0));
  mask_experts(ctx, logits, closed);
}

void LogitRouter::disturb(Context& ctx, Tensor x) const {
  if (const double amplitude = now(jitter_, ctx); amplitude > 0) {
    jitter(ctx, x, amplitude, noise_key(ctx, 7), ctx.first_token);
  }
  dropout(ctx, x, now(input_dropout_, ctx), noise_key(ctx, 6), ctx.first_token);
}

ConstTensor LogitRouter::input(Context& ctx, ConstTensor x) const {
  if (!disturbs(ctx)) return x;
  const Tensor disturbed = ctx.allocate(x.shape);
  copy(ctx, disturbed, x);
  disturb(ctx, disturbed);
  return disturbed;
}

void LogitRouter::route(Context& ctx, const TokenBatch& batch, Routing& routing) {
  logits_forward(ctx, batch, routing);
  if (modality_bias_) {
    ScratchScope scratch(ctx);
    const Tensor biases = scratch.allocate(routing.logits.shape, routing.logits.dtype);
    linear_forward(ctx, biases, modalities_of(ctx, scratch, batch), modality_bias_->value);
    add(ctx, routing.logits, routing.logits, biases);
  }
  if (learned_temperature_) {
    temperature_forward(ctx, routing.logits, learned_temperature_->value, kTemperatureFloor);
    if (ctx.observe) {
      const auto tokens = static_cast<double>(batch.scored());
      measures_.observe(ctx, temperature_figure_,
                        tokens * temperature_value(ctx, learned_temperature_->value, kTemperatureFloor), tokens);
    }
  } else if (fixed_temperature(ctx) != 1) {
    scale(ctx, routing.logits, 1 / fixed_temperature(ctx));
  }
  if (const double rate = ctx.training ? now(expert_dropout_, ctx) : 0; rate > 0) {
    drop_experts(ctx, routing.logits, rate, keep_,
                 ctx.random(RandomPurpose::expert_dropout, static_cast<uint32_t>(layer_)), ctx.first_token,
                 drop_per_sequence_ ? std::max<int64_t>(batch.time, 1) : 1);
  }
  mask_closed(ctx, routing.logits);
  choose(ctx, batch, routing);
}

void LogitRouter::backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits,
                           const RoutingGradient& d_routing, const Routing& routing) {
  choose_backward(ctx, batch, d_logits, d_routing, routing);
  if (learned_temperature_) {
    temperature_backward(ctx, d_logits, learned_temperature_->gradient, routing.logits, learned_temperature_->value,
                         kTemperatureFloor);
  } else if (fixed_temperature(ctx) != 1) {
    scale(ctx, d_logits, 1 / fixed_temperature(ctx));
  }
  ScratchScope scratch(ctx);
  if (modality_bias_)
    linear_backward_weight(ctx, modality_bias_->gradient, d_logits, modalities_of(ctx, scratch, batch));
  if (!disturbs(ctx)) return logits_backward(ctx, batch, d_x, d_logits, routing);
  const Tensor d_disturbed = scratch.allocate(d_x.shape);
  fill_zero(ctx, d_disturbed);
  logits_backward(ctx, batch, d_disturbed, d_logits, routing);
  disturb(ctx, d_disturbed);
  add(ctx, d_x, d_x, d_disturbed);
}

void require_gradient(const std::string& where, int64_t smallest_k, int64_t experts, bool renormalised) {
  if (smallest_k > 1 || experts == 1 || !renormalised) return;
  raise<UsageError>(
      "{}: with k = 1 a renormalised weight is always 1, so the router gets no gradient; set softmax: all and "
      "renormalise: false",
      where);
}

SoftmaxRouter::SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options)
    : SoftmaxRouter(setup, options, ScheduledK(options.k, setup.run, setup.experts, setup.moe.k_factor)) {}

SoftmaxRouter::SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options, const ScheduledK& k,
                             bool may_be_constant)
    : LogitRouter(setup, options, k.largest()),
      k_(k),
      over_chosen_(options.softmax == "chosen"),
      renormalise_(options.renormalise) {
  traits_ = k_.traits();
  if (!may_be_constant && setup.trains) {
    require_gradient(options.k.place().to_string(), k_.smallest(), experts_, over_chosen_ || renormalise_);
  }
}

Tensor SoftmaxRouter::scores(Context&, ScratchScope&, const TokenBatch&, const Routing&) {
  return {};
}

void SoftmaxRouter::choose(Context& ctx, const TokenBatch& batch, Routing& routing) {
  allocate_choice(ctx, routing, k());
  ScratchScope scratch(ctx);
  const Tensor by = scores(ctx, scratch, batch, routing);
  const int64_t active = k_.at(ctx.step);
  if (!by && active == k()) {
    return gating_forward(ctx, routing.probabilities, routing.logsumexp, routing.indices, routing.weights,
                          routing.logits, weighting());
  }
  softmax_forward(ctx, routing.probabilities, routing.logsumexp, routing.logits);
  select_top_k(ctx, routing.indices, by ? by : routing.logits, active);
  chosen_weights(ctx, routing.weights, routing.probabilities, routing.indices, weighting());
}

void SoftmaxRouter::choose_backward(Context& ctx, const TokenBatch&, Tensor d_logits, const RoutingGradient& d_routing,
                                    const Routing& routing) {
  gating_backward(ctx, d_logits, d_routing.weights, routing.probabilities, routing.indices, routing.weights,
                  weighting());
}

}  // namespace moe
