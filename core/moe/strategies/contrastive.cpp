// `plain`, with an objective that makes experts differ: each output of an expert is pulled towards the mean output of
// its expert and pushed away from those of the other experts (InfoNCE between outputs and prototypes, as in
// prototypical contrastive learning, Li et al., 2021). The prototypes are moving averages over updates; no gradient
// flows into them.
#include <algorithm>

#include "core/moe/routed_pass.h"
#include "core/nn/now.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/elementwise.h"
#include "core/ops/expert_output_sums.h"
#include "core/ops/matmul.h"
#include "core/ops/normalise_rows.h"
#include "core/ops/prototypes.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  ScheduleField contrast{0.01, {0, 1e6}};
  ScheduleField temperature{0.2, {1e-3, 1e3}};
  double decay = 0.9;
  void fields(FieldVisitor& v) override {
    v.schedule("contrast", contrast, "Coefficient of the contrastive loss.");
    v.schedule("temperature", temperature, "Temperature of the contrastive loss: divisor of the cosines.");
    v.field("decay", decay, "decay of the moving averages of the experts' mean outputs, per update", {0, 0.999999});
  }
};

class ContrastiveStrategy : public RoutedStrategy {
 public:
  ContrastiveStrategy(const Options& options, const Setup& setup)
      : RoutedStrategy(setup),
        options_(options),
        experts_(setup.experts),
        d_(setup.d_model()),
        prototypes_(setup.add(per_expert({.name = setup.name + ".prototypes",
                                          .shape = Shape{setup.experts, setup.d_model()},
                                          .group = ParameterGroup::untrained,
                                          .initialisation = {Initialisation::Kind::constant, 0}}))),
        measures_(setup.measures),
        contrast_(setup.measures->add_loss("contrast", options.contrast.make(setup.run))),
        temperature_(options.temperature.make(setup.run)),
        sums_(setup.sums),
        range_(setup.sums->reserve(static_cast<size_t>(experts_ * d_))),
        computed_(static_cast<size_t>(experts_)) {
    traits_.needs_outputs = true;
    prototypes_.lookup = true;  // not used by the model's forward function
  }

  Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) override {
    const Tensor y = routed_.forward(ctx, parts, router(), batch, x);
    if (ctx.training && coefficient() > 0) contrast(ctx, batch);
    return y;
  }

  void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override {
    fill_zero(ctx, d_x);
    routed_.backward(ctx, parts, router(), batch, d_x, d_y, [&](Tensor d_returned) {
      if (coefficient() > 0) add(ctx, d_returned, d_returned, d_contrast_);
    });
  }

  void after_step(Context& ctx, const LoadStats& load) override {
    RoutedStrategy::after_step(ctx, load);
    if (coefficient() > 0) {
      for (size_t e = 0; e < computed_.size(); ++e) computed_[e] = load.counts[e] - load.dropped[e];
      update_prototypes(ctx, prototypes_.value, output_sums(), as_tensor(std::span(computed_)), options_.decay);
    }
  }

 private:
  double coefficient() const { return measures_->coefficient(contrast_); }
  // The step's sums of outputs per expert. The number of rows in them is the load's counts minus the dropped
  // assignments.
  Tensor output_sums() const { return as_tensor(sums_->of(range_)).reshape({experts_, d_}); }

  // Computes the loss of this micro-batch's outputs and its gradient with respect to them, d_contrast_.
  void contrast(Context& ctx, const TokenBatch& batch) {
    const SparsePass& pass = routed_.pass();
    const Routing& routing = routed_.routing();
    const Tensor& rows = pass.returned();
    const int64_t n = rows.dim(0), slots = routing.indices.size();
    d_contrast_ = ctx.allocate(rows.shape);
    ScratchScope scratch(ctx);
    const Tensor labels = scratch.allocate(Shape{n}, DType::i32);
    expert_labels(ctx, labels, routing.indices, pass.plan().source, batch.targets);
    if (ctx.observe) {
      expert_output_sums(ctx, output_sums(), rows, pass.plan().position, routing.indices, batch.targets);
    }

    const Tensor unit = scratch.allocate(rows.shape), norms = scratch.allocate_wide(Shape{n});
    const Tensor centres = scratch.allocate(prototypes_.shape), centre_norms = scratch.allocate_wide(Shape{experts_});
    normalise_rows_forward(ctx, unit, norms, rows, 0, pass.plan().global_offsets);
    normalise_rows_forward(ctx, centres, centre_norms, prototypes_.value, 0);
    const Tensor cosines = scratch.allocate_wide(Shape{n, experts_}), losses = scratch.allocate_wide(Shape{n}),
                 correct = scratch.allocate(Shape{n}, DType::i32);
    linear_forward(ctx, cosines, unit, centres);
    scale(ctx, cosines, 1 / now(temperature_, ctx));
    const double per_token = static_cast<double>(slots) / std::max<double>(1, static_cast<double>(batch.tokens()));
    cross_entropy(ctx, losses, correct, cosines, labels,
                  coefficient() / (static_cast<double>(batch.global_tokens) * std::max(per_token, 1.0)));
    scale(ctx, cosines, 1 / now(temperature_, ctx));  // `cosines` now holds their gradient
    measures_->observe(ctx, contrast_, loss_sums(ctx, losses, correct, labels).loss,
                       static_cast<double>(batch.scored() * routing.indices.dim(1)));
    const Tensor d_unit = scratch.allocate(rows.shape);
    linear_backward_input(ctx, d_unit, cosines, centres);
    fill_zero(ctx, d_contrast_);
    normalise_rows_backward(ctx, d_contrast_, d_unit, rows, norms, 0, pass.plan().global_offsets);
  }

  Options options_;
  int64_t experts_, d_;
  Parameter& prototypes_;  // (experts, d_model)
  MeasureSet* measures_;
  size_t contrast_;
  Scheduled temperature_;
  LayerSums* sums_;
  LayerSums::Range range_;
  std::vector<double> computed_;  // reused
  RoutedPass routed_;
  Tensor d_contrast_;
};

}  // namespace

Member contrastive_strategy() {
  return member<Strategy, ContrastiveStrategy, Options>(
      "contrastive",
      "plain, with a loss that pulls the outputs of one expert together and pushes those of different experts apart");
}

}  // namespace moe
