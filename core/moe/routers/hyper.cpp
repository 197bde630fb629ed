// A frozen hypernetwork computes the router's matrix from trained embeddings e_i of the experts: row i is B relu(A e_i)
// (Do et al., 2023, HyperRouter).
#include <cmath>

#include "core/moe/logit_router.h"
#include "core/ops/activation.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  int64_t embedding = 64, hidden = 64;
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    v.field("embedding", embedding, "width of the trained expert embeddings", {1, 65536});
    v.field("hidden", hidden, "width of the hypernetwork's hidden layer", {1, 65536});
  }
};

class HyperRouter : public SoftmaxRouter {
 public:
  // With these standard deviations the initial matrix has the same variance as that of a normal router.
  HyperRouter(const Options& o, const Setup& setup)
      : SoftmaxRouter(setup, o),
        embedding_(add(setup, "embedding", {setup.experts, o.embedding}, ParameterGroup::shared, 1, PerExpert::alike)),
        input_(add(setup, "hyper.input.weight", {o.hidden, o.embedding}, ParameterGroup::untrained,
                   1 / std::sqrt(static_cast<double>(o.embedding)))),
        output_(add(setup, "hyper.output.weight", {setup.d_model(), o.hidden}, ParameterGroup::untrained,
                    setup.init_std * std::sqrt(2.0 / static_cast<double>(o.hidden)))) {}

 private:
  static Parameter& add(const Setup& setup, const char* name, Shape shape, ParameterGroup group, double std,
                        PerExpert copies = PerExpert::no) {
    return setup.add(per_expert({.name = setup.name + ".router." + name,
                                 .shape = shape,
                                 .group = group,
                                 .initialisation = {Initialisation::Kind::normal, std}},
                                copies));
  }

  // The matrix and the tensors for its backward. It costs little compared with the tokens' logits, so backward
  // recomputes it.
  struct Made {
    Tensor z, hidden, weight;
  };
  Made make(Context& ctx, ScratchScope& scratch) const {
    const Shape inner{experts_, input_.shape[0]};
    const Made made{scratch.allocate_wide(inner), scratch.allocate_wide(inner),
                    scratch.allocate_wide(Shape{experts_, output_.shape[0]})};
    linear_forward(ctx, made.z, embedding_.value, input_.value);
    activation_forward(ctx, made.hidden, made.z, Activation::relu);
    linear_forward(ctx, made.weight, made.hidden, output_.value);
    return made;
  }

  void logits_forward(Context& ctx, const TokenBatch&, Routing& routing) override {
    routing.logits = ctx.allocate_wide(Shape{routing.x.dim(0), experts_});
    ScratchScope scratch(ctx);
    linear_forward(ctx, routing.logits, routing.x, make(ctx, scratch).weight);
  }

  void logits_backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Made made = make(ctx, scratch);
    linear_backward_input(ctx, d_x, d_logits, made.weight, true);
    const Tensor d_weight = scratch.allocate_wide(made.weight.shape),
                 d_hidden = scratch.allocate_wide(made.hidden.shape), d_z = scratch.allocate_wide(made.z.shape);
    fill_zero(ctx, d_weight);
    linear_backward_weight(ctx, d_weight, d_logits, routing.x);
    linear_backward_input(ctx, d_hidden, d_weight, output_.value);
    activation_backward(ctx, d_z, d_hidden, made.z, Activation::relu);
    linear_backward_input(ctx, embedding_.gradient, d_z, input_.value, true);
  }

  Parameter& embedding_;  // (experts, embedding)
  Parameter& input_;      // (hidden, embedding)
  Parameter& output_;     // (d_model, hidden)
};

}  // namespace

Member hyper_router() {
  return member<Router, HyperRouter, Options>(
      "hyper", "topk with a router matrix that a frozen hypernetwork computes from trained embeddings");
}

}  // namespace moe
