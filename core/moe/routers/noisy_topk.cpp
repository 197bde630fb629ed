// topk of z = W x + strength * softplus(W_n x) e, with e ~ N(0, 1) drawn in training only (Shazeer et al., 2017,
// equation 4).
#include "core/moe/logit_router.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/router_noise.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  ScheduleField noise{1, {1e-3, 1e3}};
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    v.schedule("noise", noise, "Factor on the learned standard deviation of the noise.");
  }
};

class NoisyTopKRouter : public SoftmaxRouter {
 public:
  NoisyTopKRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options),
        noise_weight_(setup.add(per_expert({.name = setup.name + ".router.noise.weight",
                                            .shape = Shape{setup.experts, setup.d_model()},
                                            .group = ParameterGroup::shared,
                                            .initialisation = {Initialisation::Kind::constant, 0}}))),
        strength_(options.noise.make(setup.run)) {
    add_weight(setup);
  }

 private:
  void logits_forward(Context& ctx, const TokenBatch& batch, Routing& routing) override {
    SoftmaxRouter::logits_forward(ctx, batch, routing);
    const Shape shape = routing.logits.shape;
    RouterNoise& noise = routing.noise;
    for (Tensor* tensor :
         {&noise.clean, &noise.noisy, &noise.deviation, &noise.d_noisy, &noise.d_deviation, &raw(routing)}) {
      *tensor = ctx.allocate_wide(shape);
    }
    linear_forward(ctx, raw(routing), routing.x, noise_weight_.value);
    copy(ctx, noise.clean, routing.logits);
    const RandomKey key = noise_key(ctx, 0);
    noisy_logits_forward(ctx, noise.noisy, noise.deviation, noise.clean, raw(routing), now(strength_, ctx),
                         ctx.training ? &key : nullptr, ctx.first_token);
    copy(ctx, routing.logits, noise.noisy);
    fill_zero(ctx, noise.d_noisy);
    fill_zero(ctx, noise.d_deviation);
  }
  void logits_backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Tensor d_noisy = scratch.allocate_wide(d_logits.shape), d_raw = scratch.allocate_wide(d_logits.shape);
    add(ctx, d_noisy, d_logits, routing.noise.d_noisy);
    SoftmaxRouter::logits_backward(ctx, batch, d_x, d_noisy, routing);
    const RandomKey key = noise_key(ctx, 0);
    noisy_logits_backward(ctx, d_raw, d_noisy, routing.noise.d_deviation, routing.extra[0], now(strength_, ctx),
                          ctx.training ? &key : nullptr, ctx.first_token);
    linear_backward_weight(ctx, noise_weight_.gradient, d_raw, routing.x);
    linear_backward_input(ctx, d_x, d_raw, noise_weight_.value, true);
  }

  // W_n x, from which softplus makes the noise's standard deviation.
  static Tensor& raw(Routing& routing) { return routing.extra[0]; }

  Parameter& noise_weight_;
  const Scheduled strength_;
};

}  // namespace

Member noisy_topk_router() {
  return member<Router, NoisyTopKRouter, Options>("noisy_topk", "topk of logits with learned Gaussian noise");
}

}  // namespace moe
