// In training, chooses the k largest scores after Sinkhorn's iteration has balanced them over a group of tokens; at
// evaluation, the k largest logits. Weights are a softmax of the logits in both cases (Clark et al., 2022). This is a
// relaxation of the optimal assignment of BASE layers (Lewis et al., 2021), so it also stands in for a router `base`.
#include "core/ops/sinkhorn.h"
#include "core/moe/logit_router.h"
#include "core/moe/token_grouping.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions, GroupOptions {
  int64_t iterations = 8;
  void fields(FieldVisitor& v) override {
    softmax_fields(v);
    group_fields(v);
    v.field("iterations", iterations,
            "number of Sinkhorn iterations: each scales rows and columns to their target sums", {1, 1000});
  }
};

class SinkhornRouter : public SoftmaxRouter {
 public:
  SinkhornRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options), group_(options.group), iterations_(options.iterations) {
    traits_.training_causality = causality_of(group_);
    add_weight(setup);
  }

 private:
  Tensor scores(Context& ctx, ScratchScope& scratch, const TokenBatch& batch, const Routing& routing) override {
    if (!ctx.training) return {};
    const Tensor result = scratch.allocate_wide(routing.logits.shape);
    sinkhorn_scores(ctx, result, routing.logits, token_groups(group_, batch), iterations_);
    return result;
  }

  const std::string group_;
  const int64_t iterations_;
};

}  // namespace

Member sinkhorn_router() {
  return member<Router, SinkhornRouter, Options>(
      "sinkhorn", "in training a balanced assignment by Sinkhorn iterations, at evaluation the largest logits");
}

}  // namespace moe
