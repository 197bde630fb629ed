// The balance losses of one layer, with the sums that they need.
#pragma once
#include <memory>
#include <vector>

#include "core/moe/balance_loss.h"
#include "core/moe/layer_sums.h"
#include "core/nn/token_batch.h"

namespace moe {

class BalanceSet {
 public:
  BalanceSet(LayerSums& sums, const ChoiceList<BalanceLoss>& choices, const BalanceLoss::Setup& setup);

  // Multiplies all coefficients from now on; a strategy may weigh its steps differently. The same throughout a step.
  void set_scale(double scale) { scale_ = scale; }

  // Adds a micro-batch. Losses of scope `global` add to their sums; of the others the weighted value is added.
  void observe(Context& ctx, const TokenBatch& batch, const Routing& routing);
  // d_logits += the gradient of every loss times its coefficient. The sums of global losses must be complete.
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing);

  size_t size() const { return losses_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }
  double value(size_t i) const;   // of complete sums, without the coefficient
  double weighted_value() const;  // sum of scale * coefficient * value
  bool needs_whole_step() const;  // whether some loss needs the step's sums before backward

 private:
  // Calls visit(routing of the group, its targets, weight of the group in the mean) for each group of tokens of a
  // scope.
  template <class Visit>
  void for_each_group(BalanceLoss::Scope scope, const TokenBatch& batch, const Routing& routing, Visit visit) const;
  std::span<double> sums_of(size_t i) const;

  std::vector<std::unique_ptr<BalanceLoss>> losses_;
  std::vector<std::string> names_;
  LayerSums& sums_;
  std::vector<LayerSums::Range> ranges_;
  double scale_ = 1;
  std::vector<double> group_sums_;  // reused
};

}  // namespace moe
