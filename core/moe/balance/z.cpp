// mean(logsumexp(z)^2): keeps router logits small (Zoph et al., 2022, equation 5). Its value does not depend on
// balance. Over the chosen experts alone it leaves the others' logits free, over the rest the chosen ones'.
#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"
#include "core/ops/subset_softmax.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  std::string over = "all";

  Options() { coefficient = 0.001; }
  void fields(FieldVisitor& v) override {
    common_fields(v);
    v.field("over", over, "the logits that are kept small: of all experts, of those that a token chose, or of the rest",
            {"all", "chosen", "rest"});
  }
};

// Sums: squares, tokens.
class ZBalance : public BalanceLoss {
 public:
  ZBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup), over_all_(options.over == "all"), over_chosen_(options.over == "chosen") {}

  int64_t num_sums() const override { return 2; }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    ScratchScope scratch(ctx);
    squared_logsumexp_sum(ctx, as_tensor(sums.first(1)), over(ctx, scratch, routing).logsumexp, targets);
    token_sum(ctx, as_tensor(sums.last(1)), targets);
  }
  double value(std::span<const double> sums) const override { return sums[1] == 0 ? 0 : sums[0] / sums[1]; }
  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    ScratchScope scratch(ctx);
    const Softmax softmax = over(ctx, scratch, routing);
    if (sums[1] == 0) return;
    squared_logsumexp_backward(ctx, d.logits, softmax.probabilities, softmax.logsumexp, factor / sums[1], targets);
  }

 private:
  struct Softmax {
    ConstTensor probabilities, logsumexp;
  };
  // It costs little, so backward computes it again.
  Softmax over(Context& ctx, ScratchScope& scratch, const Routing& routing) const {
    if (over_all_) return {routing.probabilities, routing.logsumexp};
    const Tensor probabilities = scratch.allocate(routing.logits.shape, routing.logits.dtype),
                 logsumexp = scratch.allocate(Shape{routing.logits.dim(0)}, routing.logits.dtype);
    subset_softmax(ctx, probabilities, logsumexp, routing.logits, routing.indices, over_chosen_);
    return {probabilities, logsumexp};
  }

  const bool over_all_, over_chosen_;
};

}  // namespace

Member z_balance() {
  return member<BalanceLoss, ZBalance, Options>(
      "z", "mean squared log-sum-exp of the router logits, which keeps them small");
}

}  // namespace moe
