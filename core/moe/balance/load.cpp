// Squared coefficient of variation of the experts' smooth load under the noise of noisy_topk (Shazeer et al., 2017,
// equation 11). 0 at perfect balance.
#include "comm/communicator.h"
#include "core/moe/balance/variation.h"
#include "core/moe/balance_loss.h"
#include "core/ops/smooth_load.h"

namespace moe {
namespace {

struct Options : Fields<Options>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: smooth load per expert.
class LoadBalance : public BalanceLoss {
 public:
  LoadBalance(const Options& options, const Setup& setup)
      : BalanceLoss(options, setup), gradient_(static_cast<size_t>(setup.experts)) {
    if (!setup.router.empty() && setup.router != "noisy_topk") refuse(options.key(), setup.router);
  }

  int64_t num_sums() const override { return static_cast<int64_t>(gradient_.size()); }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    const RouterNoise& noise = noise_of(routing);
    smooth_load_sums(ctx, as_tensor(sums), noise.clean, noise.noisy, noise.deviation, routing.indices, targets);
  }
  double value(std::span<const double> sums) const override { return squared_variation(sums); }

  void backward(Context& ctx, const Gradients&, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    const RouterNoise& noise = noise_of(routing);
    squared_variation_backward(gradient_, sums, factor);
    smooth_load_backward(ctx, noise.d_noisy, noise.d_deviation, noise.clean, noise.noisy, noise.deviation,
                         routing.indices, as_tensor(gradient_), targets);
  }

 private:
  [[noreturn]] static void refuse(const std::string& key, const std::string& router) {
    raise<UsageError>(
        "{}: load is computed from the noise of moe.router noisy_topk, but {} has no noise; use importance", key,
        router);
  }
  static const RouterNoise& noise_of(const Routing& routing) {
    if (!routing.noise.clean) refuse("moe.balance", "this routing");
    return routing.noise;
  }

  mutable std::vector<double> gradient_;  // reused
};

}  // namespace

Member load_balance() {
  return member<BalanceLoss, LoadBalance, Options>(
      "load", "squared coefficient of variation of the smooth load of noisy_topk; 0 at perfect balance");
}

}  // namespace moe
