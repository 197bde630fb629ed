// The entropy of the experts' mean probabilities P, which is largest when all experts are used equally: `entropy` =
// -H(P), -ln N at perfect balance; `kl` = ln N - H(P), the divergence of P from uniform, 0 at perfect balance. Both
// have the same gradient. LIMoE (Mustafa et al., 2022) has two losses, each for the tokens of one modality:
// `entropy_global` = max(0, tau - H(P)) with tau = ln(least) asks for at least so many experts and leaves it open
// which, and `entropy_local` = the mean over tokens of H(p) makes each token's choice certain.
#include <algorithm>
#include <cmath>

#include "comm/communicator.h"
#include "core/moe/balance_loss.h"
#include "core/ops/routing_sums.h"

namespace moe {
namespace {

template <bool is_kl>
struct Options : Fields<Options<is_kl>>, BalanceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

struct GlobalOptions : Fields<GlobalOptions>, BalanceOptions {
  double least = 0;
  GlobalOptions() { coefficient = 0.04; }
  void fields(FieldVisitor& v) override {
    common_fields(v);
    v.field("least", least,
            "effective number of experts, exp(H), from which on the loss is 0; 0 = all experts: the loss is 0 at "
            "perfect balance only",
            {0, 1 << 16});
  }
};

struct LocalOptions : Fields<LocalOptions>, BalanceOptions {
  LocalOptions() { coefficient = 0.04; }
  void fields(FieldVisitor& v) override { common_fields(v); }
};

// Sums: probability per expert, tokens.
class EntropyBalance : public BalanceLoss {
 public:
  EntropyBalance(const Options<false>& options, const Setup& setup) : EntropyBalance(options, setup, 0) {}
  EntropyBalance(const Options<true>& options, const Setup& setup)
      : EntropyBalance(options, setup, std::log(static_cast<double>(setup.experts))) {}

  EntropyBalance(const GlobalOptions& options, const Setup& setup)
      : EntropyBalance(options, setup,
                       std::log(options.least > 0 ? options.least : static_cast<double>(setup.experts))) {
    bounded_ = true;
  }

  int64_t num_sums() const override { return static_cast<int64_t>(n_ + 1); }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    column_sums(ctx, as_tensor(sums.first(n_)), routing.probabilities, targets);
    token_sum(ctx, as_tensor(sums.subspan(n_, 1)), targets);
  }
  double value(std::span<const double> sums) const override {
    if (sums[n_] == 0) return 0;
    double value = offset_;
    for (size_t i = 0; i < n_; ++i) {
      const double p = sums[i] / sums[n_];
      if (p > 0) value += p * std::log(p);
    }
    return bounded_ ? std::max(value, 0.0) : value;
  }
  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    if (sums[n_] == 0 || (bounded_ && value(sums) == 0)) return;
    for (size_t i = 0; i < n_; ++i) {
      const double p = std::max(sums[i] / sums[n_], kLeast);
      gradient_[i] = factor * (std::log(p) + 1) / sums[n_];
    }
    softmax_sum_backward(ctx, d.logits, routing.probabilities, as_tensor(gradient_), targets);
  }

 private:
  // Lower bound of p, so that log(p) is finite. For p = 0 the backward of softmax multiplies it by 0.
  static constexpr double kLeast = 1e-300;

  EntropyBalance(const BalanceOptions& options, const Setup& setup, double offset)
      : BalanceLoss(options, setup), n_(static_cast<size_t>(setup.experts)), offset_(offset), gradient_(n_) {}

  size_t n_;
  double offset_;
  bool bounded_ = false;                  // not below 0
  mutable std::vector<double> gradient_;  // reused
};

// Sums: entropy of each token's probabilities, tokens.
class LocalEntropy : public BalanceLoss {
 public:
  LocalEntropy(const LocalOptions& options, const Setup& setup) : BalanceLoss(options, setup) {}

  int64_t num_sums() const override { return 2; }
  void add_sums(Context& ctx, std::span<double> sums, const Routing& routing, ConstTensor targets) const override {
    entropy_sum(ctx, as_tensor(sums.first(1)), routing.probabilities, targets);
    token_sum(ctx, as_tensor(sums.last(1)), targets);
  }
  double value(std::span<const double> sums) const override { return sums[1] == 0 ? 0 : sums[0] / sums[1]; }
  void backward(Context& ctx, const Gradients& d, const Routing& routing, ConstTensor targets,
                std::span<const double> sums, double factor) const override {
    if (sums[1] > 0) entropy_backward(ctx, d.logits, routing.probabilities, factor / sums[1], targets);
  }
};

}  // namespace

Member entropy_global_balance() {
  return member<BalanceLoss, EntropyBalance, GlobalOptions>(
      "entropy_global", "max(0, ln(least) - H) of the experts' mean probabilities (LIMoE), mostly for one modality");
}

Member entropy_local_balance() {
  return member<BalanceLoss, LocalEntropy, LocalOptions>(
      "entropy_local", "mean entropy of each token's router probabilities (LIMoE), mostly for one modality");
}

Member entropy_balance() {
  return member<BalanceLoss, EntropyBalance, Options<false>>(
      "entropy", "negative entropy -H of the experts' mean probabilities; -ln N at perfect balance");
}

Member kl_balance() {
  return member<BalanceLoss, EntropyBalance, Options<true>>(
      "kl", "ln N - H, the divergence of the experts' mean probabilities from uniform; 0 at perfect balance");
}

}  // namespace moe
