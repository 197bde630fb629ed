// Position interpolation (Chen et al., 2023, arXiv 2306.15595): all frequencies are divided by a factor, so that the
// positions of a longer text lie in the range of positions that the model knows.
#include "core/nn/rope_scaling.h"

namespace moe {
namespace {

struct Options : Fields<Options> {
  double factor = 4;
  void fields(FieldVisitor& v) override {
    v.field("factor", factor, "divisor of all frequencies: how many times longer texts become", {1, 1e6});
  }
};

class LinearRopeScaling : public RopeScaling {
 public:
  LinearRopeScaling(const Options& options, const Setup&) : factor_(options.factor) {}
  void apply(RopeFrequencies& frequencies) const override {
    frequencies.scaling = RopeFrequencies::Scaling::linear;
    frequencies.factor = factor_;
  }

 private:
  double factor_;
};

}  // namespace

Member linear_rope_scaling() {
  return member<RopeScaling, LinearRopeScaling, Options>("linear", "all frequencies are divided by a factor");
}

}  // namespace moe
