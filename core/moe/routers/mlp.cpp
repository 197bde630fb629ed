// z = W2 gelu(W1 x): a router of two layers, whose decision need not be linear in the token; otherwise like topk.
#include <cmath>

#include "core/moe/logit_router.h"
#include "core/ops/activation.h"
#include "core/ops/matmul.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  int64_t hidden = 0;
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    v.field("hidden", hidden, "width of the hidden layer; 0 = d_model", {0, 1 << 20});
  }
};

class MlpRouter : public SoftmaxRouter {
 public:
  MlpRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options),
        inner_(setup.add({.name = setup.name + ".router.inner.weight",
                          .shape = Shape{options.hidden > 0 ? options.hidden : setup.d_model(), setup.d_model()},
                          .group = ParameterGroup::shared,
                          .initialisation = {Initialisation::Kind::normal, setup.init_std}})) {
    // Logits of about the size that topk's have at the start: the hidden units are smaller than x by the first layer.
    outer_ = &setup.add(per_expert(
        {.name = setup.name + ".router.outer.weight",
         .shape = Shape{setup.experts, inner_.shape[0]},
         .group = ParameterGroup::shared,
         .initialisation = {Initialisation::Kind::normal, 1 / std::sqrt(static_cast<double>(inner_.shape[0]))}}));
  }

 private:
  void logits_forward(Context& ctx, const TokenBatch&, Routing& routing) override {
    const Shape inner{routing.x.dim(0), inner_.shape[0]};
    routing.extra[0] = ctx.allocate(inner);
    routing.extra[1] = ctx.allocate(inner);
    linear_forward(ctx, routing.extra[0], routing.x, inner_.value);
    activation_forward(ctx, routing.extra[1], routing.extra[0], Activation::gelu_tanh);
    routing.logits = ctx.allocate_wide(Shape{routing.x.dim(0), experts_});
    linear_forward(ctx, routing.logits, routing.extra[1], outer_->value);
  }
  void logits_backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Tensor d_hidden = scratch.allocate(routing.extra[1].shape), d_z = scratch.allocate(routing.extra[0].shape);
    linear_backward_weight(ctx, outer_->gradient, d_logits, routing.extra[1]);
    linear_backward_input(ctx, d_hidden, d_logits, outer_->value);
    activation_backward(ctx, d_z, d_hidden, routing.extra[0], Activation::gelu_tanh);
    linear_backward_weight(ctx, inner_.gradient, d_z, routing.x);
    linear_backward_input(ctx, d_x, d_z, inner_.value, true);
  }

  Parameter& inner_;            // (hidden, d_model)
  Parameter* outer_ = nullptr;  // (experts, hidden)
};

}  // namespace

Member mlp_router() {
  return member<Router, MlpRouter, Options>("mlp", "topk whose logits come from two layers with GELU between them");
}

}  // namespace moe
