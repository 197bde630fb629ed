// Base class of routers that score every expert by a logit. It implements jitter and dropout of the input, temperature,
// expert dropout, and the backward pass from the gradients of the logits; members define how the logits are computed
// and how experts are chosen by them.
#pragma once
#include "core/moe/router.h"
#include "core/nn/now.h"
#include "core/ops/gating.h"

namespace moe {

// Lower bound of a learned temperature.
inline constexpr double kTemperatureFloor = 1e-4;

// Fields of these routers.
struct LogitOptions {
  ScheduleField temperature{1, {kTemperatureFloor, 1e6}};
  bool learn_temperature = false;
  ScheduleField jitter{0, {0, 0.99}}, input_dropout{0, {0, 0.99}};
  ScheduleField expert_dropout{0, {0, 0.99}};
  std::string expert_dropout_per = "token";

  ~LogitOptions();
  void logit_fields(FieldVisitor& v);
};

// Range of fields for the number of experts per token: at most all experts of the layer.
inline constexpr Range<double> kExpertsPerToken{1, 1 << 16, "moe.experts"};

// An integer number of experts that follows a schedule.
class ScheduledK {
 public:
  // The number is round(unit * the schedule's value). Throws UsageError, which names the field, if it leaves [1,
  // experts].
  ScheduledK(const ScheduleField& field, const RunLength& run, int64_t experts, double unit = 1);

  int64_t at(uint64_t update) const;
  int64_t largest() const { return largest_; }
  int64_t smallest() const { return smallest_; }
  int64_t last() const { return last_; }
  double mean() const { return mean_; }
  // Traits of a router that chooses this number of experts.
  RouterTraits traits() const;

 private:
  int64_t rounded(double value) const;

  Scheduled value_;
  double unit_;
  int64_t experts_;
  int64_t largest_, smallest_, last_;
  double mean_;
};

class LogitRouter : public Router {
 public:
  ~LogitRouter() override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits, const RoutingGradient& d_routing,
                const Routing& routing) final;
  void close_experts(ConstTensor closed) override { closed_ = closed; }

 protected:
  ConstTensor input(Context& ctx, ConstTensor x) const final;
  void route(Context& ctx, const TokenBatch& batch, Routing& routing) final;
  // `keep`: minimum number of experts that expert dropout leaves for a token.
  LogitRouter(const Setup& setup, const LogitOptions& options, int64_t keep);

  // Adds the weight matrix that most routers use, "<layer>.router.weight", and with
  // BuildContext::router_bias "<layer>.router.logit_bias".
  void add_weight(const Setup& setup, ParameterGroup group = ParameterGroup::shared,
                  PerExpert copies = PerExpert::alike);

  // routing.x -> routing.logits (tokens, experts), allocated here. The default is x W^T (+ b) with the parameters from
  // add_weight().
  virtual void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing);
  // d_logits -> adds to d_x and to parameters
  virtual void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                               const Routing& routing);
  // routing.logits -> all other members of the routing, allocated here
  virtual void choose(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;
  // d_routing -> adds to d_logits
  virtual void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                               const Routing& routing) = 0;

  // Allocates probabilities and logsumexp, and indices and weights with `slots` slots per token.
  void allocate_choice(Context& ctx, Routing& routing, int64_t slots) const;
  // The random number stream of this layer's router for one use. Members use the numbers 0 to 5; 6 (input dropout) and
  // 7 (jitter) are used here.
  RandomKey noise_key(const Context& ctx, uint32_t use) const {
    return ctx.random(RandomPurpose::router_noise, static_cast<uint32_t>(layer_) * 8 + use);
  }

  // Masks closed experts with -inf in logits (tokens, experts). routing.logits are already masked; pass any other
  // scores that you select by.
  void mask_closed(Context& ctx, Tensor logits) const;

  bool drops_experts() const { return expert_dropout_.largest() > 0; }

  const int64_t experts_;

 private:
  // Whether input jitter or dropout is active now. `disturb` multiplies x (tokens, d_model), or its gradient, by both.
  bool disturbs(const Context& ctx) const {
    return ctx.training && (now(jitter_, ctx) > 0 || now(input_dropout_, ctx) > 0);
  }
  void disturb(Context& ctx, Tensor x) const;
  // The batch's modalities as one-hot rows (tokens, modalities), which the modality bias multiplies.
  Tensor modalities_of(Context& ctx, ScratchScope& scratch, const TokenBatch& batch) const;
  double fixed_temperature(const Context& ctx) const { return temperature_.at(ctx.step); }

  const int layer_;
  const Scheduled jitter_, input_dropout_, expert_dropout_;
  const bool drop_per_sequence_;
  const int64_t keep_;
  const Scheduled temperature_;
  Parameter* learned_temperature_ = nullptr;  // (1)
  Parameter* weight_ = nullptr;               // (experts, d_model)
  Parameter* logit_bias_ = nullptr;           // (experts)
  Parameter* modality_bias_ = nullptr;        // (experts, modalities)
  MeasureSet& measures_;
  size_t temperature_figure_ = 0;
  ConstTensor closed_;  // argument of close_experts()
};

// Options for k and for the weights of a softmax router's chosen experts.
struct SoftmaxOptions : LogitOptions {
  ScheduleField k{2, kExpertsPerToken};
  std::string softmax = "chosen";
  bool renormalise = true;

  void softmax_fields(FieldVisitor& v);
  void weight_fields(FieldVisitor& v);
};

// Chooses the k experts with the largest logits and weights them by softmax.
class SoftmaxRouter : public LogitRouter {
 public:
  ~SoftmaxRouter() override;

 protected:
  // Throws UsageError for a k that is out of range, and for k = 1 with renormalised weights.
  SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options);
  // With a k other than the options' one. `may_be_constant`: a single expert may have the constant weight 1, because
  // the router is not trained or learns without the weights' gradient.
  SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options, const ScheduledK& k, bool may_be_constant = false);

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override;
  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override;
  // The scores that experts are chosen by, (tokens, experts) in `scratch`; an empty tensor means the logits.
  virtual Tensor scores(Context& ctx, ScratchScope& scratch, const TokenBatch& batch, const Routing& routing);
  // How the chosen experts are weighted.
  GatingOptions weighting() const { return {over_chosen_, renormalise_}; }

 private:
  const ScheduledK k_;
  const bool over_chosen_, renormalise_;
};

// Throws UsageError, which begins with `where`, if the weight of a single chosen expert would always be 1, so that the
// router would get no gradient.
void require_gradient(const std::string& where, int64_t smallest_k, int64_t experts, bool renormalised);

}  // namespace moe
