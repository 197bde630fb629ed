// `from`, multiplied by `factor` after each interval `every`.
#include <algorithm>
#include <cmath>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double from = 1e-3, factor = 0.5;
  Duration every = Duration::percent(25);
  void fields(FieldVisitor& v) override {
    v.field("from", from, "initial value");
    v.field("factor", factor, "factor by which each step multiplies the value");
    v.field("every", every, "length of a step");
    common_fields(v);
  }
};

class StepSchedule : public Schedule {
 public:
  StepSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup),
        from_(options.from),
        factor_(options.factor),
        every_(std::max(1.0, to_updates(options.every, setup.run))) {}

 private:
  double shape(double update) const override { return from_ * std::pow(factor_, std::floor(update / every_)); }
  double from_, factor_, every_;
};

}  // namespace

Member step_schedule() {
  return member<Schedule, StepSchedule, Options>("step", "multiplied by a factor at equal intervals");
}

}  // namespace moe
