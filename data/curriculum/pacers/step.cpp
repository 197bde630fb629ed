// start + (1 - start) floor(t parts) / parts
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  int64_t parts = 4;
  void fields(FieldVisitor& v) override {
    v.field("parts", parts, "number of equal steps", {1, 1000});
    common_fields(v);
  }
};

class StepPacer : public CurvePacer {
 public:
  StepPacer(const Options& options, const Setup& setup)
      : CurvePacer(options, setup), parts_(static_cast<double>(options.parts)) {}

 private:
  double curve(double start, double t) const override { return start + (1 - start) * std::floor(t * parts_) / parts_; }

  double parts_;
};

}  // namespace

Member step_pacer() {
  return member<Pacer, StepPacer, Options>("step", "the open share grows in equal steps");
}

}  // namespace moe
