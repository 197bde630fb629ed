// N sum_i f_i P_i, where f_i is expert i's share of the assignments (no gradient) and P_i its mean probability (Fedus
// et al., 2022, equation 4). 1 at perfect balance, N when one expert gets all tokens. `sequence` is the same loss
// within each sequence, as in DeepSeek-V2 and V3 (2024). With sigmoid scores s, V3 takes P_i as the mean of s_i / sum_j
// s_j
// (`form: source`); `form: ours` always takes the softmax of the logits.
#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sigmoid_gating.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

struct SequenceOptions : Fields<SequenceOptions>, BalanceOptions {
  std::string form = "source";
  SequenceOptions() {
    coefficient = 1e-4;
    scope = "sequence";
  }
  void fields(FieldVisitor& v) override {
    common_fields(v);
    v.field("form", form,
            "source = with router sigmoid_bias, an expert's probability is its share of the sigmoid scores "
            "(DeepSeek-V3); ours = it is a softmax of the logits with every router",
            {"source", "ours"});
  }
};

// Sums: assignments per expert, probability per expert, tokens.
class SwitchBalance : public BalanceLoss {
 public:
  SwitchBalance(const BalanceOptions& options, const Setup& setup)
      : BalanceLoss(options, setup), experts_(setup.experts), gradient_(static_cast<size_t>(setup.experts)) {}

  int64_t num_sums() const override { return 2 * experts_ + 1; }

  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const final {
    assignment_sums(ctx, as_tensor(sums.first(n())), {}, routing.indices, routing.weights, targets);
    add_probabilities(ctx, as_tensor(sums.subspan(n(), n())), routing, targets);
    token_sum(ctx, as_tensor(sums.subspan(2 * n(), 1)), targets);
  }

  double value(std::span<const double> sums) const final {
    const double assignments = total(sums), tokens = sums[2 * n()];
    if (assignments == 0) return 0;
    double dot = 0;
    for (size_t i = 0; i < n(); ++i) dot += sums[i] * sums[n() + i];
    return static_cast<double>(experts_) * dot / (assignments * tokens);
  }

  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const final {
    const double assignments = total(sums), tokens = sums[2 * n()];
    if (assignments == 0) return;
    for (size_t i = 0; i < n(); ++i)
      gradient_[i] = factor * static_cast<double>(experts_) * sums[i] / (assignments * tokens);
    probability_backward(ctx, d.logits, routing, as_tensor(gradient_), targets);
  }

 protected:
  // Adds the tokens' probabilities of each expert to sums (experts) f64, and the gradient of their sum to d_logits.
  virtual void add_probabilities(Context& ctx, Tensor sums, const Routing& routing, ConstTensor targets) const {
    column_sums(ctx, sums, routing.probabilities, targets);
  }
  virtual void probability_backward(Context& ctx, Tensor d_logits, const Routing& routing, ConstTensor gradient,
                                    ConstTensor targets) const {
    softmax_sum_backward(ctx, d_logits, routing.probabilities, gradient, targets);
  }

 private:
  size_t n() const { return static_cast<size_t>(experts_); }
  double total(std::span<const double> sums) const {
    double sum = 0;
    for (size_t i = 0; i < n(); ++i) sum += sums[i];
    return sum;
  }

  int64_t experts_;
  mutable std::vector<double> gradient_;  // reused
};

class SequenceBalance : public SwitchBalance {
 public:
  SequenceBalance(const SequenceOptions& options, const Setup& setup)
      : SwitchBalance(options, setup), by_shares_(options.form == "source" && setup.router == "sigmoid_bias") {}

 private:
  void add_probabilities(Context& ctx, Tensor sums, const Routing& routing, ConstTensor targets) const override {
    if (!by_shares_) return SwitchBalance::add_probabilities(ctx, sums, routing, targets);
    ScratchScope scratch(ctx);
    column_sums(ctx, sums, shares_of(ctx, scratch, routing), targets);
  }
  void probability_backward(Context& ctx, Tensor d_logits, const Routing& routing, ConstTensor gradient,
                            ConstTensor targets) const override {
    if (!by_shares_) return SwitchBalance::probability_backward(ctx, d_logits, routing, gradient, targets);
    ScratchScope scratch(ctx);
    sigmoid_shares_backward(ctx, d_logits, shares_of(ctx, scratch, routing), routing.logits, gradient, targets);
  }
  static Tensor shares_of(Context& ctx, ScratchScope& scratch, const Routing& routing) {
    const Tensor shares = scratch.allocate_wide(routing.logits.shape);
    sigmoid_shares_forward(ctx, shares, routing.logits);
    return shares;
  }

  const bool by_shares_;
};

}  // namespace

Member switch_balance() {
  return member<BalanceLoss, SwitchBalance, Options>(
      "switch", "N sum f_i P_i: an expert's share of the assignments times its mean probability; 1 at perfect balance");
}

Member sequence_balance() {
  return member<BalanceLoss, SequenceBalance, SequenceOptions>(
      "sequence", "the switch loss computed within each sequence and averaged; 1 at perfect balance");
}

}  // namespace moe
