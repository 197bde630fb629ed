// A bandit over a grid of factors. Each chosen factor is held for some updates. Its reward is the decrease of the mean
// loss since the previous factor, per operation or per second. The next factor is the one with the largest upper
// confidence bound,
//   mean_i + exploration * sqrt(ln(sum_j n_j) / n_i),
// with rewards divided by their mean absolute value. `discount: 1` is UCB1 (Auer et al., 2002). Below 1 old rewards are
// discounted (Garivier and Moulines, 2011), which is needed because losses fall ever more slowly.
#include <algorithm>
#include <cmath>
#include <vector>

#include "core/moe/capacity.h"

namespace moe {
namespace {

struct Options : Fields<Options>, CapacityOptions {
  double smallest = 0.75, largest = 2;
  int64_t arms = 6, hold = 10;
  std::string per = "flops";
  double exploration = 1, discount = 0.95;
  void fields(FieldVisitor& v) override {
    v.field("smallest", smallest, "smallest factor of the grid", {1e-3, 1024});
    v.field("largest", largest, "largest factor of the grid", {1e-3, 1024});
    v.field("arms", arms, "number of factors in the grid, in equal steps", {2, 64});
    v.field("hold", hold, "number of updates for which a factor is held", {1, 1'000'000});
    v.field("per", per,
            "cost that the decrease of the loss is divided by: the model's operations, or the seconds that they took "
            "(which makes the run depend on the machine's speed)",
            {"flops", "seconds"});
    v.field("exploration", exploration, "weight of the uncertainty term in the upper confidence bound", {0, 1e3});
    v.field("discount", discount, "factor on all earlier rewards whenever a reward is added; 1 = no discounting",
            {0.5, 1});
    capacity_fields(v);
  }
};

class BanditCapacity : public Capacity {
 public:
  BanditCapacity(const Options& options, const Setup&)
      : Capacity(options),
        smallest_(options.smallest),
        largest_(options.largest),
        arms_(static_cast<size_t>(options.arms)),
        hold_(static_cast<double>(options.hold)),
        per_flops_(options.per == "flops"),
        exploration_(options.exploration),
        discount_(options.discount),
        state_(kFirstArm + 2 * arms_) {
    if (smallest_ >= largest_) {
      raise<UsageError>("{}: {} must be less than largest, which is {}", options.where("smallest"), smallest_,
                        largest_);
    }
    state_[kArm] = static_cast<double>(arms_ - 1);
  }

  double factor(uint64_t) const override {
    return smallest_ + (largest_ - smallest_) * state_[kArm] / static_cast<double>(arms_ - 1);
  }
  double largest() const override { return largest_; }

  void after_step(const CapacityFeedback& feedback) override {
    state_[kLoss] += feedback.update.loss;
    state_[kCost] += per_flops_ ? feedback.update.flops : feedback.update.seconds;
    if (++state_[kHeld] < hold_) return;
    const double loss = state_[kLoss] / hold_;
    // There is no loss before the first factor, so that factor gets no reward.
    if (state_[kTimes] > 0 && state_[kCost] > 0) reward((state_[kLossBefore] - loss) / state_[kCost]);
    ++state_[kTimes];
    state_[kLossBefore] = loss;
    state_[kHeld] = state_[kLoss] = state_[kCost] = 0;
    state_[kArm] = static_cast<double>(next());
  }

  std::span<double> state() override { return state_; }

 private:
  // Layout of state_: the index of the current factor, the updates for which it has been held, the sums of their losses
  // and costs; the number of factors so far, the mean loss under the previous one; the discounted sum of the rewards'
  // absolute values; then for each factor the discounted number and sum of its rewards.
  enum { kArm, kHeld, kLoss, kCost, kTimes, kLossBefore, kSizes, kFirstArm };
  double& count(size_t arm) { return state_[kFirstArm + 2 * arm]; }
  double& sum(size_t arm) { return state_[kFirstArm + 2 * arm + 1]; }

  void reward(double value) {
    for (size_t i = kSizes; i < state_.size(); ++i) state_[i] *= discount_;
    const auto arm = static_cast<size_t>(state_[kArm]);
    state_[kSizes] += std::abs(value);
    count(arm) += 1;
    sum(arm) += value;
  }

  // Factors without any reward come first, in descending order. Ties go to the larger factor.
  size_t next() {
    double total = 0;
    for (size_t i = 0; i < arms_; ++i) total += count(i);
    for (size_t i = arms_; i-- > 0;) {
      if (count(i) == 0) return i;
    }
    const double size = state_[kSizes] > 0 ? state_[kSizes] / total : 1;
    size_t best = 0;
    double highest = -HUGE_VAL;
    for (size_t i = arms_; i-- > 0;) {
      const double bound =
          sum(i) / count(i) / size + exploration_ * std::sqrt(std::max(std::log(total), 0.0) / count(i));
      if (bound > highest) best = i, highest = bound;
    }
    return best;
  }

  const double smallest_, largest_;
  const size_t arms_;
  const double hold_;
  const bool per_flops_;
  const double exploration_, discount_;
  std::vector<double> state_;
};

}  // namespace

Member bandit_capacity() {
  return member<Capacity, BanditCapacity, Options>(
      "bandit", "a bandit that tries factors and prefers those under which the loss falls fastest");
}

}  // namespace moe
