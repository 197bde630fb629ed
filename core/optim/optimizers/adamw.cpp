// AdamW: the mean of gradients over the root of the mean of their squares (Loshchilov and Hutter, 2019).
#include "core/ops/adamw.h"

#include "core/optim/optimizer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  std::string first_moment = "f32";
  Options() : OptimizerOptions(0.1) {}
  void fields(FieldVisitor& v) override {
    v.field("beta1", beta1, "decay of the first moment, the running mean of gradients", {0, 0.999999});
    v.field("beta2", beta2, "decay of the second moment, the running mean of squared gradients", {0, 0.9999999});
    v.field("eps", eps, "added to the root of the second moment", {0, 1});
    v.field("first_moment", first_moment,
            "how the first moment is stored: f32, or bf16, which takes 2 bytes less for each parameter; the second one "
            "is f32, because it would stand still in bf16",
            {"f32", "bf16"});
    optimizer_fields(v);
  }
};

class AdamW : public Optimizer {
 public:
  AdamW(const Options& options, const Setup& setup)
      : Optimizer(options, setup,
                  {{"first_moment", StateMerge::sum, options.first_moment == "bf16"},
                   {"second_moment", StateMerge::squares}}),
        beta1_(options.beta1),
        beta2_(options.beta2),
        eps_(options.eps) {}

 private:
  void update(Context& ctx, const Slice& s) const override {
    adamw(ctx, s.weight, s.states[0], s.states[1], s.gradient,
          {.learning_rate = s.learning_rate,
           .beta1 = beta1_,
           .beta2 = beta2_,
           .eps = eps_,
           .weight_decay = s.weight_decay,
           .gradient_scale = s.gradient_scale,
           .update = s.update,
           .clear_gradient = s.clear_gradient},
          s.master);
  }

  const double beta1_, beta2_, eps_;
};

}  // namespace

Member adamw_optimizer() {
  return member<Optimizer, AdamW, Options>("adamw",
                                           "AdamW: a step for each parameter, by its gradients' mean and size");
}

}  // namespace moe
