// (start^p + (1 - start^p) t)^(1/p), with p = 2 the square-root competence
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  double power = 2;
  void fields(FieldVisitor& v) override {
    v.field("power", power, "exponent p of the curve; a larger p opens samples earlier", {1, 100});
    common_fields(v);
  }
};

class RootPacer : public CurvePacer {
 public:
  RootPacer(const Options& options, const Setup& setup) : CurvePacer(options, setup), power_(options.power) {}

 private:
  double curve(double start, double t) const override {
    const double first = std::pow(start, power_);
    return std::pow(first + (1 - first) * t, 1 / power_);
  }

  double power_;
};

}  // namespace

Member root_pacer() {
  return member<Pacer, RootPacer, Options>("root",
                                           "the open share grows fast at first, so that new samples are added at the "
                                           "rate at which the old ones are learned");
}

}  // namespace moe
