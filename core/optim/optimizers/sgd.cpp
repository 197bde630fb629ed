// Stochastic gradient descent with momentum (Polyak, 1964), or Nesterov's (1983) in the form of Sutskever et al.
// (2013), and decoupled weight decay (SGDW of Loshchilov and Hutter, 2019).
#include "core/ops/sgd.h"

#include "core/optim/optimizer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, OptimizerOptions {
  double momentum = 0.9;
  bool nesterov = false;
  Options() : OptimizerOptions(0) {}
  void fields(FieldVisitor& v) override {
    v.field("momentum", momentum,
            "decay of the running sum of gradients that weights move by; 0 = the gradient alone, and no memory for it",
            {0, 0.999999});
    v.field("nesterov", nesterov, "Nesterov's momentum: moves by the gradient plus momentum times the new sum");
    optimizer_fields(v);
  }
};

class Sgd : public Optimizer {
 public:
  Sgd(const Options& options, const Setup& setup)
      : Optimizer(options, setup, states_of(options)), momentum_(options.momentum), nesterov_(options.nesterov) {
    if (nesterov_ && momentum_ == 0) {
      raise<UsageError>("{}: needs a momentum above 0; it is 0", options.where("nesterov"));
    }
  }

 private:
  static std::vector<OptimizerStateKind> states_of(const Options& options) {
    if (options.momentum == 0) return {};
    return {{"momentum", StateMerge::sum}};
  }

  void update(Context& ctx, const Slice& s) const override {
    sgd(ctx, s.weight, s.states.empty() ? Tensor{} : s.states[0], s.gradient,
        {.learning_rate = s.learning_rate,
         .momentum = momentum_,
         .nesterov = nesterov_,
         .weight_decay = s.weight_decay,
         .gradient_scale = s.gradient_scale,
         .clear_gradient = s.clear_gradient},
        s.master);
  }

  const double momentum_;
  const bool nesterov_;
};

}  // namespace

Member sgd_optimizer() {
  return member<Optimizer, Sgd, Options>("sgd", "stochastic gradient descent, with momentum or Nesterov's momentum");
}

}  // namespace moe
