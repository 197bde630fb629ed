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

  // Takes up the coefficients of the step that ctx is in. Before anything else of the step.
  void begin(const Context& ctx);
  // Multiplies all coefficients from now on; a strategy may weigh its steps differently. The same throughout a step.
  void set_scale(double scale) { scale_ = scale; }
  // Multiplies all coefficients for the rest of the run, whatever their schedules.
  void raise_by(double factor) { raised_ *= factor; }
  double raised() const { return raised_; }

  // Adds a micro-batch. Losses of scope `global` add to their sums; of the others the weighted value is added.
  void observe(Context& ctx, const TokenBatch& batch, const Routing& routing);
  // Likewise to the losses on the experts' outputs, which may have been chosen by another routing.
  void observe_outputs(Context& ctx, const TokenBatch& batch, const Routing& routing, const ExpertOutputs& outputs);
  // Adds the gradient of every loss times its coefficient to d_logits (tokens, experts) and d_weights (tokens, k). The
  // sums of global losses must be complete. UsageError when a loss needs d_weights and gets none.
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_logits, const Routing& routing, Tensor d_weights = {});
  // Likewise of the losses on the experts' outputs, to d_rows (rows, d_model): for SparsePass::backward's
  // OutputGradient.
  void backward_outputs(Context& ctx, const TokenBatch& batch, Tensor d_rows, const Routing& routing,
                        const ExpertOutputs& outputs);

  size_t size() const { return losses_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }
  double value(size_t i) const;   // of complete sums, without the coefficient
  double weighted_value() const;  // sum of scale * coefficient * value
  bool sees_outputs() const;      // whether some loss is on the experts' outputs
  bool needs_whole_step() const;  // whether some loss needs the step's sums before backward

 private:
  // A group of tokens of some scope: the range [begin, begin + count) of the micro-batch, with its share in the mean.
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
  // Calls visit(group, its sums) for every group of loss i. The sums of a global one must be complete; those of others
  // are added up here.
  template <class Visit>
  void for_each_group_with_sums(Context& ctx, size_t i, const TokenBatch& batch, const Routing& routing,
                                const ExpertOutputs& outputs, Visit visit);
  void observe_either(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                      const ExpertOutputs& outputs);
  // visit(group, its sums, factor) for every group of every loss of either sort that has a gradient.
  template <class Visit>
  void for_each_gradient(Context& ctx, bool on_outputs, const TokenBatch& batch, const Routing& routing,
                         const ExpertOutputs& outputs, Visit visit);
  std::span<double> sums_of(size_t i) const;

  std::vector<std::unique_ptr<BalanceLoss>> losses_;
  std::vector<std::string> names_;
  std::vector<double> coefficients_;  // of this step
  LayerSums& sums_;
  std::vector<LayerSums::Range> ranges_;
  double scale_ = 1, raised_ = 1;
  std::vector<double> group_sums_;  // of the groups of a loss, reused
};

}  // namespace moe
