// (start^p + (1 - start^p) t)^(1/p), with p = 2 the square-root competence
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  double power = 2;
  void fields(FieldVisitor& v) override {
    v.field("power", power, "p: larger opens earlier", {1, 100});
    common_fields(v);
  }
};

class RootPacer : public Pacer {
 public:
  RootPacer(const Options& options, const Setup& setup)
      : options_(options), over_(to_updates(options.over, setup.run)) {}

  double open(int64_t update) const override {
    const double t = pace_progress(update, over_);
    const double first = std::pow(options_.start, options_.power);
    return std::pow(first + (1 - first) * t, 1 / options_.power);
  }

 private:
  Options options_;
  double over_;
};

}  // namespace

Member root_pacer() {
  return member<Pacer, RootPacer, Options>(
      "root", "the open share grows fast at first: new samples come in at the rate at which the old ones are learned");
}

}  // namespace moe
