// Logits are cosines, so that the norm of an expert's embedding does not affect the choice: u = W_r x, z_i = <u, e_i> /
// ((|u| + c) (|e_i| + c)), divided by a learned temperature. `cosine`: c ~ 0 in 16 dimensions (Chi et al., 2022,
// X-MoE); `perturbed_cosine`: c = 0.1 on the token itself (Nguyen et al., 2024).
#include <cmath>

#include "core/moe/logit_router.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/normalise_rows.h"

namespace moe {
namespace {

struct CosineOptions : SoftmaxOptions {
  int64_t dimension = 16;
  double perturbation = 1e-6;

  void cosine_fields(FieldVisitor& v) {
    softmax_fields(v);
    v.field("dimension", dimension, "width to which the token is projected first; 0 = no projection", {0, 4096});
    v.field("perturbation", perturbation, "c, added to the norms of token and embedding before dividing by them",
            {1e-12, 10});
  }
};

struct Options : Fields<Options>, CosineOptions {
  Options() {
    temperature = 0.3;
    learn_temperature = true;
  }
  void fields(FieldVisitor& v) override { cosine_fields(v); }
};

struct PerturbedOptions : Fields<PerturbedOptions>, CosineOptions {
  PerturbedOptions() {
    temperature = 0.3;
    learn_temperature = true;
    dimension = 0;
    perturbation = 0.1;
  }
  void fields(FieldVisitor& v) override { cosine_fields(v); }
};

// Initial norm of the experts' embeddings (X-MoE's gain). The cosine depends only on their direction; the norm
// determines how fast the direction changes in training.
constexpr double kEmbeddingNorm = 0.32;

class CosineRouter : public SoftmaxRouter {
 public:
  CosineRouter(const CosineOptions& options, const Setup& setup)
      : SoftmaxRouter(setup, options),
        perturbation_(options.perturbation),
        projection_(options.dimension > 0
                        ? &setup.add({.name = setup.name + ".router.projection.weight",
                                      .shape = Shape{options.dimension, setup.d_model()},
                                      .group = ParameterGroup::shared,
                                      .initialisation = {Initialisation::Kind::normal, setup.init_std}})
                        : nullptr),
        embedding_(setup.add(
            per_expert({.name = setup.name + ".router.weight",
                        .shape = Shape{setup.experts, width(options, setup)},
                        .group = ParameterGroup::shared,
                        .initialisation = {Initialisation::Kind::normal, embedding_std(width(options, setup))}}))) {
    traits_.directions = {&embedding_, projection_, true};
    traits_.expert_rows = &embedding_;
  }

 private:
  enum { kProjected, kUnit, kNorms };  // indices into Routing::extra

  static int64_t width(const CosineOptions& options, const Setup& setup) {
    return options.dimension > 0 ? options.dimension : setup.d_model();
  }
  static double embedding_std(int64_t width) { return kEmbeddingNorm / std::sqrt(static_cast<double>(width)); }

  // Directions and norms of the experts' embeddings.
  struct Directions {
    Tensor unit, norms;
  };
  Directions expert_directions(Context& ctx, ScratchScope& scratch) const {
    const Directions result{scratch.allocate(embedding_.shape), scratch.allocate_wide(Shape{experts_})};
    normalise_rows_forward(ctx, result.unit, result.norms, embedding_.value, perturbation_);
    return result;
  }
  static ConstTensor projected(const Routing& routing) {
    return routing.extra[kProjected] ? ConstTensor(routing.extra[kProjected]) : routing.x;
  }

  void logits_forward(Context& ctx, const TokenBatch&, Routing& routing) override {
    const int64_t tokens = routing.x.dim(0);
    const Shape shape{tokens, embedding_.shape[1]};
    if (projection_) {
      routing.extra[kProjected] = ctx.allocate(shape);
      linear_forward(ctx, routing.extra[kProjected], routing.x, projection_->value);
    }
    routing.extra[kUnit] = ctx.allocate(shape);
    routing.extra[kNorms] = ctx.allocate_wide(Shape{tokens});
    normalise_rows_forward(ctx, routing.extra[kUnit], routing.extra[kNorms], projected(routing), perturbation_);
    routing.logits = ctx.allocate_wide(Shape{tokens, experts_});
    ScratchScope scratch(ctx);
    linear_forward(ctx, routing.logits, routing.extra[kUnit], expert_directions(ctx, scratch).unit);
  }

  void logits_backward(Context& ctx, const TokenBatch&, Tensor d_x, ConstTensor d_logits,
                       const Routing& routing) override {
    ScratchScope scratch(ctx);
    const Directions experts = expert_directions(ctx, scratch);
    const Tensor d_unit_experts = scratch.allocate_wide(embedding_.shape);
    fill_zero(ctx, d_unit_experts);
    linear_backward_weight(ctx, d_unit_experts, d_logits, routing.extra[kUnit]);
    normalise_rows_backward(ctx, embedding_.gradient, d_unit_experts, embedding_.value, experts.norms, perturbation_);

    const Tensor d_unit = scratch.allocate(routing.extra[kUnit].shape);
    linear_backward_input(ctx, d_unit, d_logits, experts.unit);
    const Tensor d_projected = projection_ ? scratch.allocate(d_unit.shape) : d_x;
    if (projection_) fill_zero(ctx, d_projected);
    normalise_rows_backward(ctx, d_projected, d_unit, projected(routing), routing.extra[kNorms], perturbation_);
    if (!projection_) return;
    linear_backward_weight(ctx, projection_->gradient, d_projected, routing.x);
    linear_backward_input(ctx, d_x, d_projected, projection_->value, true);
  }

  const double perturbation_;
  Parameter* projection_;  // (dimension, d_model)
  Parameter& embedding_;   // (experts, dimension)
};

}  // namespace

Member cosine_router() {
  return member<Router, CosineRouter, Options>(
      "cosine", "topk of the cosines between projected token and expert embeddings (X-MoE)");
}

Member perturbed_cosine_router() {
  return member<Router, CosineRouter, PerturbedOptions>("perturbed_cosine",
                                                        "topk of cosines with a constant added to both norms");
}

}  // namespace moe
