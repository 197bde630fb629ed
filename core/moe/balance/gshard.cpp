// N sum_i (c_i / T) P_i, where c_i is the number of tokens whose most probable expert is i (no gradient) and P_i is the
// mean probability of expert i (Lepikhin et al., 2021, up to their factor 1 / N). 1 at perfect balance, N when all
// tokens prefer one expert.
#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: preferences per expert, probability per expert, tokens.
class GShardBalance : public BalanceLoss {
 public:
  GShardBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup), n_(static_cast<size_t>(setup.experts)), gradient_(n_) {}

  int64_t num_sums() const override { return static_cast<int64_t>(2 * n_ + 1); }

  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    top1_counts(ctx, as_tensor(sums.first(n_)), routing.probabilities, targets);
    column_sums(ctx, as_tensor(sums.subspan(n_, n_)), routing.probabilities, targets);
    token_sum(ctx, as_tensor(sums.subspan(2 * n_, 1)), targets);
  }

  double value(std::span<const double> sums) const override {
    const double tokens = sums[2 * n_];
    if (tokens == 0) return 0;
    double dot = 0;
    for (size_t i = 0; i < n_; ++i) dot += sums[i] * sums[n_ + i];
    return static_cast<double>(n_) * dot / (tokens * tokens);
  }

  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    const double tokens = sums[2 * n_];
    if (tokens == 0) return;
    for (size_t i = 0; i < n_; ++i) gradient_[i] = factor * static_cast<double>(n_) * sums[i] / (tokens * tokens);
    softmax_sum_backward(ctx, d.logits, routing.probabilities, as_tensor(gradient_), targets);
  }

 private:
  size_t n_;
  mutable std::vector<double> gradient_;  // reused
};

}  // namespace

Member gshard_balance() {
  return member<BalanceLoss, GShardBalance, Options>(
      "gshard",
      "N sum c_i / T P_i: an expert's share of first choices times its mean probability; 1 at perfect balance");
}

}  // namespace moe
