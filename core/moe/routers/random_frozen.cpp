// A random router that is never trained, while k grows from half of the experts to all of them: k(t) = round(share(t)
// N) (Chen et al., 2023, SMoE-Dropout). It needs no balance loss.
#include "core/moe/logit_router.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  ScheduleField share{linearly(0.5, 1), {0, 1}};

  void fields(FieldVisitor& v) override {
    v.schedule("share", share, "Fraction of the experts that a token goes to.");
    weight_fields(v);
  }
};

class RandomFrozenRouter : public SoftmaxRouter {
 public:
  RandomFrozenRouter(const Options& options, const Setup& setup)
      : SoftmaxRouter(setup, options,
                      ScheduledK(options.share, setup.run, setup.experts, static_cast<double>(setup.experts)), true) {
    if (setup.moe.modality_bias) {
      raise<UsageError>("{}: random_frozen learns nothing, so it cannot learn a bias; use false, or another router",
                        setup.moe.where("modality_bias"));
    }
    add_weight(setup, ParameterGroup::untrained);
  }
};

}  // namespace

Member random_frozen_router() {
  return member<Router, RandomFrozenRouter, Options>(
      "random_frozen", "topk with frozen random weights and a k that grows during the run");
}

}  // namespace moe
