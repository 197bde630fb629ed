// topk with a learned softmax temperature: z = W x / tau. The other routers offer it as an option.
#include "core/moe/logit_router.h"

namespace moe {
namespace {

struct Options : Fields<Options>, SoftmaxOptions {
  Options() { learn_temperature = true; }
  void fields(FieldVisitor& v) override { softmax_fields(v); }
};

class TemperatureRouter : public SoftmaxRouter {
 public:
  TemperatureRouter(const Options& options, const Setup& setup) : SoftmaxRouter(setup, options) { add_weight(setup); }
};

}  // namespace

Member temperature_router() {
  return member<Router, TemperatureRouter, Options>("temperature", "topk with a learned temperature");
}

}  // namespace moe
