// start^(1 - t)
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

class GeometricPacer : public CurvePacer {
 public:
  using CurvePacer::CurvePacer;

 private:
  double curve(double start, double t) const override { return std::pow(start, 1 - t); }
};

}  // namespace

Member geometric_pacer() {
  return member<Pacer, GeometricPacer, Options>(
      "geometric", "the open share grows by the same factor in every update, slowly at first");
}

}  // namespace moe
