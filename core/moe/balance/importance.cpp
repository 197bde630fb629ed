// Squared coefficient of variation of the experts' importance, which is the sum of their gate weights over tokens
// (Shazeer et al., 2017, equation 7). 0 at perfect balance, N - 1 when one expert has all the weight.
#include "comm/communicator.h"
#include "core/moe/balance/variation.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: assignments per expert (unused), weight per expert.
class ImportanceBalance : public BalanceLoss {
 public:
  ImportanceBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup), n_(static_cast<size_t>(setup.experts)), gradient_(n_) {}

  int64_t num_sums() const override { return static_cast<int64_t>(2 * n_); }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    assignment_sums(ctx, as_tensor(sums.first(n_)), as_tensor(sums.subspan(n_, n_)), routing.indices, routing.weights,
                    targets);
  }
  double value(std::span<const double> sums) const override { return squared_variation(sums.subspan(n_, n_)); }

  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    if (!d.weights)
      raise<UsageError>(
          "moe.balance: importance needs gradients of gate weights, which this moe.strategy does not provide; use "
          "switch");
    squared_variation_backward(gradient_, sums.subspan(n_, n_), factor);
    weight_sum_backward(ctx, d.weights, routing.indices, as_tensor(gradient_), targets);
  }

 private:
  size_t n_;
  mutable std::vector<double> gradient_;  // reused
};

}  // namespace

Member importance_balance() {
  return member<BalanceLoss, ImportanceBalance, Options>(
      "importance", "squared coefficient of variation of the experts' summed gate weights; 0 at perfect balance");
}

}  // namespace moe
