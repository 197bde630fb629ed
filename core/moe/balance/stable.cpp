// StableMoE's balance loss, from the authors' code: sum_i (n_i - n) / n S_i / T over T tokens, where n_i is the number
// of expert i's assignments (no gradient), n its mean over experts, and S_i the sum of their weights, sigmoid(z_i) with
// router stable. It raises the scores of experts below the mean and lowers the others; 0 at perfect balance (Dai et
// al., 2022).
#include <numeric>

#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  Options() { coefficient = 0.3; }
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: assignments per expert, weight per expert, tokens.
class StableBalance : public BalanceLoss {
 public:
  StableBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup), n_(static_cast<size_t>(setup.experts)), gradient_(n_) {}

  int64_t num_sums() const override { return static_cast<int64_t>(2 * n_ + 1); }

  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    assignment_sums(ctx, as_tensor(sums.first(n_)), as_tensor(sums.subspan(n_, n_)), routing.indices, routing.weights,
                    targets);
    token_sum(ctx, as_tensor(sums.subspan(2 * n_, 1)), targets);
  }

  double value(std::span<const double> sums) const override {
    double value = 0;
    for (size_t i = 0; i < n_; ++i) value += factor_of(sums, i) * sums[n_ + i];
    return value;
  }

  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    if (!d.weights)
      raise<UsageError>(
          "moe.balance: stable needs gradients of gate weights, which this moe.strategy does not provide; use switch");
    for (size_t i = 0; i < n_; ++i) gradient_[i] = factor * factor_of(sums, i);
    weight_sum_backward(ctx, d.weights, routing.indices, as_tensor(gradient_), targets);
  }

 private:
  // (n_i - n) / (n T), by which each weight of expert i enters
  double factor_of(std::span<const double> sums, size_t expert) const {
    const auto counts = sums.first(n_);
    const double mean = std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(n_);
    return mean == 0 ? 0 : (counts[expert] - mean) / (mean * sums[2 * n_]);
  }

  const size_t n_;
  mutable std::vector<double> gradient_;  // reused
};

}  // namespace

Member stable_balance() {
  return member<BalanceLoss, StableBalance, Options>(
      "stable", "the experts' gate weights, each times its load's deviation from the mean; 0 at perfect balance");
}

}  // namespace moe
