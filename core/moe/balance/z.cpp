// mean(logsumexp(z)^2): keeps router logits small (Zoph et al., 2022, equation 5). Its value does not depend on
// balance.
#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  Options() { coefficient = 0.001; }
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: squares, tokens.
class ZBalance : public BalanceLoss {
 public:
  ZBalance(const Options& options, const Setup& setup) : BalanceLoss(options, setup) {}

  int64_t num_sums() const override { return 2; }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    squared_logsumexp_sum(ctx, as_tensor(sums.first(1)), routing.logsumexp, targets);
    token_sum(ctx, as_tensor(sums.last(1)), targets);
  }
  double value(std::span<const double> sums) const override { return sums[1] == 0 ? 0 : sums[0] / sums[1]; }
  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    if (sums[1] == 0) return;
    squared_logsumexp_backward(ctx, d.logits, routing.probabilities, routing.logsumexp, factor / sums[1], targets);
  }
};

}  // namespace

Member z_balance() {
  return member<BalanceLoss, ZBalance, Options>(
      "z", "mean squared log-sum-exp of the router logits, which keeps them small");
}

}  // namespace moe
