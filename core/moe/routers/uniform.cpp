// Every token goes to all experts, each with weight 1 / N. The output is the mean of the experts: the dense baseline.
#include "core/moe/unlearned_router.h"
#include "core/ops/gating.h"

namespace moe {
namespace {

class UniformRouter : public UnlearnedRouter {
 public:
  UniformRouter(const NoFields& options, const Setup& setup) : UnlearnedRouter(options.key(), setup, setup.experts) {}

 private:
  void choose(Context& ctx, const TokenBatch&, Routing& routing) override {
    gating_forward(ctx, routing.probabilities, routing.logsumexp, routing.indices, routing.weights, routing.logits, {});
  }
};

}  // namespace

Member uniform_router() {
  return member<Router, UniformRouter, NoFields>("uniform", "all experts, with equal weights; nothing is learned");
}

}  // namespace moe
