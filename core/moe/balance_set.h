// The balance losses of one layer and the sums that they are computed from.
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

  // Looks up the coefficients for the step of ctx. Must be the first call in a step.
  void begin(const Context& ctx);
  // Multiplies all coefficients from now on, so that a strategy can weight some steps differently. Must not change
  // within a step.
  void set_scale(double scale) { scale_ = scale; }
  // Multiplies all coefficients for the rest of the run, on top of their schedules.
  void raise_by(double factor) { raised_ *= factor; }
  double raised() const { return raised_; }

  // Adds a micro-batch. Losses of scope `global` add to their sums. Losses of other scopes add their weighted value.
  void observe(Context& ctx, const TokenBatch& batch, const Routing& routing);
  // The same for the losses on the experts' outputs, which may come from another routing.
  void observe_outputs(Context& ctx, const TokenBatch& batch, const Routing& routing, const ExpertOutputs& outputs);
  // Adds the gradient of every loss times its coefficient to d_logits (tokens, experts) and d_weights (tokens, k). The
  // sums of global losses must be complete. Throws UsageError when a loss needs d_weights and gets none.
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing, Tensor d_weights = {});
  // The same for the losses on the experts' outputs; adds to d_rows (rows, d_model). Used as the OutputGradient of
  // SparsePass::backward.
  void backward_outputs(Context& ctx, const TokenBatch& batch, Tensor d_rows, const Routing& routing,
                        const ExpertOutputs& outputs);

  size_t size() const { return losses_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }
  double value(size_t i) const;   // from complete sums, without the coefficient
  double weighted_value() const;  // sum of scale * coefficient * value
  bool sees_outputs() const;      // whether any loss is on the experts' outputs
  bool needs_whole_step() const;  // whether any loss needs the step's sums before backward

 private:
  // The tokens that a scope groups together: the range [begin, begin + count) of the micro-batch, with the group's
  // weight in the mean.
  struct Group {
    int64_t begin;
    double weight;
    Routing routing;
    ConstTensor targets;
    ExpertOutputs outputs;
  };
  template <class Visit>
  void for_each_group(BalanceLoss::Scope scope, const TokenBatch& batch, const Routing& routing,
                      const ExpertOutputs& outputs, Visit visit) const;
  void add_sums(Context& ctx, const BalanceLoss& loss, std::span<double> sums, const Group& group) const;
  // Calls visit(group, its sums) for every group of loss i. The sums of a global loss must be complete; those of other
  // scopes are computed here.
  template <class Visit>
  void for_each_group_with_sums(Context& ctx, size_t i, const TokenBatch& batch, const Routing& routing,
                                const ExpertOutputs& outputs, Visit visit);
  void observe_either(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                      const ExpertOutputs& outputs);
  // Calls visit(loss, group, its sums, factor) for every group of every loss that has a gradient, either of the losses
  // on outputs or of the others.
  template <class Visit>
  void for_each_gradient(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                         const ExpertOutputs& outputs, Visit visit);
  std::span<double> sums_of(size_t i) const;
  // The batch with the targets of the tokens that the loss is computed from.
  static TokenBatch batch_of(Context& ctx, ScratchScope& scratch, const BalanceLoss& loss, const TokenBatch& batch);

  std::vector<std::unique_ptr<BalanceLoss>> losses_;
  std::vector<std::string> names_;
  std::vector<double> coefficients_;  // in this step
  LayerSums& sums_;
  std::vector<LayerSums::Range> ranges_;
  double scale_ = 1, raised_ = 1;
  std::vector<double> group_sums_;  // for the groups of one loss, reused
};

}  // namespace moe
