// start + (1 - start) t
#include "data/curriculum/pacer.h"

namespace moe {
namespace {

struct Options : Fields<Options>, PaceOptions {
  void fields(FieldVisitor& v) override { common_fields(v); }
};

class LinearPacer : public Pacer {
 public:
  LinearPacer(const Options& options, const Setup& setup)
      : options_(options), over_(to_updates(options.over, setup.run)) {}

  double open(int64_t update) const override {
    const double t = pace_progress(update, over_);
    return options_.start + (1 - options_.start) * t;
  }

 private:
  Options options_;
  double over_;
};

}  // namespace

Member linear_pacer() {
  return member<Pacer, LinearPacer, Options>("linear", "the open share grows by as much in every update");
}

}  // namespace moe
