// Interpolates between two factors by the difficulty of the latest updates: the entropy of the layer's router over
// ln(experts), which is 1 for uniform probabilities, the loss over ln(vocabulary), which is 1 for a uniform prediction,
// or the mean uncertainty u of a Bayesian router, as 1 - 1 / sqrt(1 + pi u^2 / 8). The last is by how much such an
// uncertainty moderates a logit (MacKay, 1992). The method is ours.
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/moe/capacity.h"

namespace moe {
namespace {

struct Options : Fields<Options>, CapacityOptions {
  std::string by = "entropy";
  double smallest = 1, largest = 2, decay = 0.9;
  void fields(FieldVisitor& v) override {
    v.field("by", by,
            "measure of difficulty, between 0 and 1: the router's entropy over ln(experts), the model's loss over "
            "ln(vocabulary), or the share by which the uncertainty of the router bayesian moderates its logits",
            {"entropy", "loss", "uncertainty"});
    v.field("smallest", smallest, "factor at difficulty 0", {1e-3, 1024});
    v.field("largest", largest, "factor at difficulty 1, and at the first update", {1e-3, 1024});
    v.field("decay", decay, "decay of the difficulty's moving average, per update", {0, 0.9999});
    capacity_fields(v);
  }
};

class ComplexityCapacity : public Capacity {
 public:
  ComplexityCapacity(const Options& options, const Setup& setup)
      : Capacity(options),
        by_loss_(options.by == "loss"),
        by_uncertainty_(options.by == "uncertainty"),
        smallest_(options.smallest),
        largest_(options.largest),
        decay_(options.decay),
        ignorance_(std::log(static_cast<double>(std::max<int64_t>(setup.vocab, 2)))) {
    if (by_loss_ && setup.vocab == 0) {
      raise<UsageError>(
          "{}: loss is measured relative to ln(vocabulary), but this model has no vocabulary; use entropy",
          options.where("by"));
    }
    if (by_uncertainty_ && !setup.measures->find(kRouterUncertainty)) {
      raise<UsageError>("{}: the router {} does not know its uncertainty; use moe.router: bayesian, or entropy",
                        options.where("by"), setup.moe.router.kind());
    }
    if (smallest_ > largest_) {
      raise<UsageError>("{}: {} must not exceed largest, which is {}", options.where("smallest"), smallest_, largest_);
    }
  }

  double factor(uint64_t) const override {
    const double difficulty = state_[kWeight] > 0 ? state_[kSum] / state_[kWeight] : 1;
    return smallest_ + (largest_ - smallest_) * difficulty;
  }
  double largest() const override { return largest_; }

  void after_step(const CapacityFeedback& feedback) override {
    const double difficulty = std::clamp(by_loss_          ? feedback.update.loss / ignorance_
                                         : by_uncertainty_ ? moderation(feedback.router_uncertainty)
                                                           : feedback.router_entropy,
                                         0.0, 1.0);
    state_[kSum] = decay_ * state_[kSum] + (1 - decay_) * difficulty;
    state_[kWeight] = decay_ * state_[kWeight] + (1 - decay_);
  }

  std::span<double> state() override { return state_; }

 private:
  enum { kSum, kWeight };

  static double moderation(double deviation) {
    return 1 - 1 / std::sqrt(1 + std::numbers::pi * deviation * deviation / 8);
  }

  const bool by_loss_, by_uncertainty_;
  const double smallest_, largest_, decay_, ignorance_;
  std::array<double, 2> state_{};  // of the moving average
};

}  // namespace

Member complexity_capacity() {
  return member<Capacity, ComplexityCapacity, Options>(
      "complexity", "a factor that grows with the router's entropy or uncertainty, or the model's loss");
}

}  // namespace moe
