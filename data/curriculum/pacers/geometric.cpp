// start^(1 - t)
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

class GeometricPacer : public Pacer {
 public:
  GeometricPacer(const Options& options, const Setup& setup)
      : options_(options), over_(to_updates(options.over, setup.run)) {}

  double open(int64_t update) const override {
    const double t = pace_progress(update, over_);
    return std::pow(options_.start, 1 - t);
  }

 private:
  Options options_;
  double over_;
};

}  // namespace

Member geometric_pacer() {
  return member<Pacer, GeometricPacer, Options>(
      "geometric", "the open share grows by the same factor in every update: slow at first");
}

}  // namespace moe
