// One expert per token, weighted by its probability, with jitter of the input in training (Fedus et al., 2022).
#include "core/moe/logit_router.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  Options() {
    k = 1;
    softmax = "all";
    renormalise = false;
    jitter = 0.01;
  }
  void fields(FieldVisitor& v) override { logit_fields(v); }
};

class SwitchRouter : public SoftmaxRouter {
 public:
  SwitchRouter(const Options& options, const Setup& setup) : SoftmaxRouter(setup, options) { add_weight(setup); }
};

}  // namespace

Member switch_router() {
  return member<Router, SwitchRouter, Options>("switch", "only the most probable expert, weighted by its probability");
}

}  // namespace moe
