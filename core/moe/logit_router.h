// Routers that score every expert by a logit share all but how the logits are made and what is chosen by them: jitter
// and dropout of the input, temperature, expert dropout, and the way back from the gradients of logits.
#pragma once
#include "core/moe/router.h"
#include "core/nn/now.h"

namespace moe {

// A learned temperature stays above it.
inline constexpr double kTemperatureFloor = 1e-4;

// Fields that such routers have.
struct LogitOptions {
  ScheduleField temperature{1, {kTemperatureFloor, 1e6}};
  bool learn_temperature = false;
  ScheduleField jitter{0, {0, 0.99}}, input_dropout{0, {0, 0.99}};
  ScheduleField expert_dropout{0, {0, 0.99}};
  std::string expert_dropout_per = "token";

  void logit_fields(FieldVisitor& v) {
    v.schedule("temperature", temperature, "Logits are divided by it.");
    v.field("learn_temperature", learn_temperature, "train the temperature, from its value above");
    v.schedule("jitter", jitter, "In training the router's input is multiplied by U[1 - jitter, 1 + jitter].");
    v.schedule("input_dropout", input_dropout,
               "Share of the router's input that is zeroed in training; the experts see all of it.");
    v.schedule(
        "expert_dropout", expert_dropout,
        "In training a token's experts are left out with this probability (never so many that fewer than k stay).");
    v.field("expert_dropout_per", expert_dropout_per, "whether a sequence's tokens miss the same experts",
            {"token", "sequence"});
  }
};

// Of fields that say how many experts a token goes to: all of the layer's at most.
inline constexpr Range<double> kExpertsPerToken{1, 1 << 16, "moe.experts"};

// A whole number of experts that follows a schedule.
class ScheduledK {
 public:
  // round(unit * the schedule's value). Throws UsageError, which names the field, when it leaves [1, experts].
  ScheduledK(const ScheduleField& field, const RunLength& run, int64_t experts, double unit = 1);

  int64_t at(uint64_t update) const;
  int64_t largest() const { return largest_; }
  int64_t smallest() const { return smallest_; }
  int64_t last() const { return last_; }
  double mean() const { return mean_; }
  // Of a router that chooses that many experts.
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
  void forward(Context& ctx, const TokenBatch& batch, ConstTensor x, Routing& routing) final;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, Tensor d_logits, const RoutingGradient& d_routing,
                const Routing& routing) final;
  void close_experts(ConstTensor closed) override { closed_ = closed; }

 protected:
  // `keep`: experts that dropout leaves to a token at least.
  LogitRouter(const Setup& setup, const LogitOptions& options, int64_t keep);

  // The matrix that most routers multiply by, "<layer>.router.weight", and with model.bias "<layer>.router.logit_bias".
  void add_weight(const Setup& setup, ParameterGroup group = ParameterGroup::shared,
                  PerExpert copies = PerExpert::alike);

  // routing.x -> routing.logits (tokens, experts), allocated here. By default x W^T (+ b) with what
  // add_weight() added.
  virtual void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing);
  // d_logits -> adds to d_x and to parameters
  virtual void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                               const Routing& routing);
  // routing.logits -> everything else of the routing, allocated here
  virtual void choose(Context& ctx, const TokenBatch& batch, Routing& routing) = 0;
  // d_routing -> adds to d_logits
  virtual void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                               const Routing& routing) = 0;

  // Memory for probabilities and logsumexp, and for `slots` indices and weights.
  void allocate_choice(Context& ctx, Routing& routing, int64_t slots) const;
  // A stream of random numbers of this layer's router; each use has its number, from 0 to 5.
  RandomKey noise_key(const Context& ctx, uint32_t use) const {
    return ctx.random(RandomPurpose::router_noise, static_cast<uint32_t>(layer_) * 8 + use);
  }

  // -inf for closed experts: routing.logits have it; whoever chooses by others gives them. logits (tokens, experts)
  void mask_closed(Context& ctx, Tensor logits) const;

  bool drops_experts() const { return expert_dropout_.largest() > 0; }

  const int64_t experts_;

 private:
  // Jitter and dropout of the input, now; `disturb` multiplies x (tokens, d_model) by both, or its gradient.
  bool disturbs(const Context& ctx) const {
    return ctx.training && (now(jitter_, ctx) > 0 || now(input_dropout_, ctx) > 0);
  }
  void disturb(Context& ctx, Tensor x) const;
  double fixed_temperature(const Context& ctx) const { return temperature_.at(ctx.step); }

  const int layer_;
  const Scheduled jitter_, input_dropout_, expert_dropout_;
  const bool drop_per_sequence_;
  const int64_t keep_;
  const Scheduled temperature_;
  Parameter* learned_temperature_ = nullptr;  // (1)
  Parameter* weight_ = nullptr;               // (experts, d_model)
  Parameter* logit_bias_ = nullptr;           // (experts)
  MeasureSet& measures_;
  size_t temperature_figure_ = 0;
  ConstTensor closed_;  // as given to close_experts()
};

// What a softmax router weighs its chosen experts by.
struct SoftmaxOptions : LogitOptions {
  ScheduleField k{2, kExpertsPerToken};
  std::string softmax = "chosen";
  bool renormalise = true;

  void softmax_fields(FieldVisitor& v) {
    v.schedule("k", k, "Experts per token.");
    weight_fields(v);
  }
  void weight_fields(FieldVisitor& v) {
    v.field("softmax", softmax, "weights are a softmax over the chosen experts or over all", {"chosen", "all"});
    v.field("renormalise", renormalise,
            "divide the chosen experts' weights by their sum (with softmax: chosen it is 1 anyway)");
    logit_fields(v);
  }
};

// The k largest logits, weighted by softmax.
class SoftmaxRouter : public LogitRouter {
 public:
 protected:
  // Throws UsageError for a k that does not fit, and for k = 1 with renormalised weights.
  SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options);
  // Another k than the options'. A frozen router may weigh a single expert by 1: it needs no gradient.
  SoftmaxRouter(const Setup& setup, const SoftmaxOptions& options, const ScheduledK& k, bool frozen = false);

  void choose(Context& ctx, const TokenBatch& batch, Routing& routing) override;
  void choose_backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const RoutingGradient& d_routing,
                       const Routing& routing) override;
  // What the experts are chosen by, (tokens, experts) in `scratch`; none = the logits.
  virtual Tensor scores(Context& ctx, ScratchScope& scratch, const TokenBatch& batch, const Routing& routing);

 private:
  const ScheduledK k_;
  const bool over_chosen_, renormalise_;
};

// Throws UsageError, which begins with `where`, where a single chosen expert's weight would always be 1, which no
// gradient passes.
void require_gradient(const std::string& where, int64_t smallest_k, int64_t experts, bool renormalised);

}  // namespace moe
