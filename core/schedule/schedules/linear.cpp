// A straight line from `from` to `to`, which is reached at `over`.
#include "core/schedule/scheduled.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double from = 1e-3, to = 0;
  Duration over = Duration::percent(100);
  void fields(FieldVisitor& v) override {
    v.field("from", from, "value after the warm-up");
    v.field("to", to, "final value, from `over` on");
    v.field("over", over, "point of the run at which `to` is reached, counted from the start of the run");
    common_fields(v);
  }
};

class LinearSchedule : public Schedule {
 public:
  LinearSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup), from_(options.from), to_(options.to), end_(to_updates(options.over, setup.run)) {}

 private:
  double shape(double update) const override { return from_ + (to_ - from_) * progress(update, end_); }
  double from_, to_, end_;
};

}  // namespace

Choice<Schedule> linearly(double from, double to) {
  Choice<Schedule> choice("linear");
  choice.as<Options>().from = from;
  choice.as<Options>().to = to;
  return choice;
}

Member linear_schedule() {
  return member<Schedule, LinearSchedule, Options>("linear", "a straight line from one value to another");
}

}  // namespace moe
