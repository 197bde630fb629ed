// N sum_i f_i P_i, where f_i is expert i's share of the assignments (no gradient) and P_i its mean probability (Fedus
// et al., 2022, equation 4). 1 at perfect balance, N when one expert gets all tokens. `sequence` is the same loss with
// another default scope, under the name used in the literature (DeepSeek-V2, 2024).
#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

struct SequenceOptions : Fields<SequenceOptions>, BalanceOptions {
  SequenceOptions() {
    coefficient = 1e-4;
    scope = "sequence";
  }
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: assignments per expert, probability per expert, tokens.
class SwitchBalance : public BalanceLoss {
 public:
  SwitchBalance(const BalanceOptions& options, const Setup& setup)
      : BalanceLoss(options, setup), experts_(setup.experts), gradient_(static_cast<size_t>(setup.experts)) {}

  int64_t num_sums() const override { return 2 * experts_ + 1; }

  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    assignment_sums(ctx, as_tensor(sums.first(n())), {}, routing.indices, routing.weights, targets);
    column_sums(ctx, as_tensor(sums.subspan(n(), n())), routing.probabilities, targets);
    token_sum(ctx, as_tensor(sums.subspan(2 * n(), 1)), targets);
  }

  double value(std::span<const double> sums) const override {
    const double assignments = total(sums), tokens = sums[2 * n()];
    if (assignments == 0) return 0;
    double dot = 0;
    for (size_t i = 0; i < n(); ++i) dot += sums[i] * sums[n() + i];
    return static_cast<double>(experts_) * dot / (assignments * tokens);
  }

  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    const double assignments = total(sums), tokens = sums[2 * n()];
    if (assignments == 0) return;
    for (size_t i = 0; i < n(); ++i)
      gradient_[i] = factor * static_cast<double>(experts_) * sums[i] / (assignments * tokens);
    softmax_sum_backward(ctx, d.logits, routing.probabilities, as_tensor(gradient_), targets);
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

}  // namespace

Member switch_balance() {
  return member<BalanceLoss, SwitchBalance, Options>(
      "switch", "N sum f_i P_i: an expert's share of the assignments times its mean probability; 1 at perfect balance");
}

Member sequence_balance() {
  return member<BalanceLoss, SwitchBalance, SequenceOptions>(
      "sequence", "the switch loss computed within each sequence and averaged; 1 at perfect balance");
}

}  // namespace moe
