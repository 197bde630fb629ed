// start + (1 - start) t
#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

class LinearPacer : public CurvePacer {
 public:
  using CurvePacer::CurvePacer;

 private:
  double curve(double start, double t) const override { return start + (1 - start) * t; }
};

}  // namespace

Member linear_pacer() {
  return member<Pacer, LinearPacer, Options>("linear", "the open share grows by the same amount in every update");
}

}  // namespace moe
