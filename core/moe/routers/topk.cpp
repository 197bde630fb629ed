// z = W x; the k experts with the largest logits; weights by softmax (Shazeer et al., 2017, without the noise).
#include "core/moe/router.h"
#include "core/ops/matmul.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  int64_t k = 2;
  std::string softmax = "chosen";
  bool renormalise = true;

  void fields(FieldVisitor& v) override {
    v.field("k", k, "experts per token", {1, 1024});
    v.field("softmax", softmax, "weights are a softmax over the chosen experts or over all", {"chosen", "all"});
    v.field("renormalise", renormalise,
            "divide the chosen experts' weights by their sum (with softmax: chosen it is 1 anyway)");
  }
};

class TopKRouter : public SoftmaxRouter {
 public:
  TopKRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, {options.k, options.softmax == "chosen", options.renormalise}),
        weight_(setup.parameters.add({setup.name + ".router.weight",
                                      Shape{setup.experts, setup.d_model},
                                      ParameterGroup::shared,
                                      {Initialisation::Kind::normal, setup.init_std}})) {}

 private:
  void logits_forward(Context& ctx, const TokenBatch&, Routing& routing) override {
    routing.logits = ctx.allocate_wide(Shape{routing.x.dim(0), experts_});
    linear_forward(ctx, routing.logits, routing.x, weight_.value);
  }
  void logits_backward(Context& ctx, Tensor d_x, ConstTensor d_logits, const Routing& routing) override {
    linear_backward_weight(ctx, weight_.gradient, d_logits, routing.x);
    linear_backward_input(ctx, d_x, d_logits, weight_.value, true);
  }

  Parameter& weight_;
};

}  // namespace

Member topk_router() {
  return member<Router, TopKRouter, Options>("topk", "the k experts with the largest logits, weighted by softmax");
}

}  // namespace moe
