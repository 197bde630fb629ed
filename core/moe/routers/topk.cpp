// z = W x. Chooses the k experts with the largest logits and weights them by softmax (Shazeer et al., 2017, without the
// noise).
#include "core/moe/logit_router.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  void fields(FieldVisitor& v) override { softmax_fields(v); }
};

class TopKRouter : public SoftmaxRouter {
 public:
  TopKRouter(const Options& options, const Setup& setup) : SoftmaxRouter(setup, options) { add_weight(setup); }
};

}  // namespace

Member topk_router() {
  return member<Router, TopKRouter, Options>("topk", "the k experts with the largest logits, weighted by softmax");
}

}  // namespace moe
