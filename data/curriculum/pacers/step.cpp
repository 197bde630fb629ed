// start + (1 - start) floor(t parts) / parts
#include <cmath>

#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  int64_t parts = 4;
  void fields(FieldVisitor& v) override {
    v.field("parts", parts, "how many", {1, 1000});
    common_fields(v);
  }
};

class StepPacer : public Pacer {
 public:
  StepPacer(const Options& options, const Setup& setup)
      : options_(options), over_(to_updates(options.over, setup.run)) {}

  double open(int64_t update) const override {
    const double t = pace_progress(update, over_);
    const auto parts = static_cast<double>(options_.parts);
    return options_.start + (1 - options_.start) * std::floor(t * parts) / parts;
  }

 private:
  Options options_;
  double over_;
};

}  // namespace

Member step_pacer() {
  return member<Pacer, StepPacer, Options>("step", "the open share grows in equal steps");
}

}  // namespace moe
