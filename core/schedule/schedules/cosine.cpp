// Half a cosine from `from` to `to`, which is reached at `over` (Loshchilov and Hutter, 2017, without restarts).
#include <cmath>
#include <numbers>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double from = 1e-3, to = 1e-4;
  Duration over = Duration::percent(100);
  void fields(FieldVisitor& v) override {
    v.field("from", from, "value after the warm-up");
    v.field("to", to, "final value, from `over` on");
    v.field("over", over, "point of the run at which `to` is reached, counted from the start of the run");
    common_fields(v);
  }
};

class CosineSchedule : public Schedule {
 public:
  CosineSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup), from_(options.from), to_(options.to), end_(to_updates(options.over, setup.run)) {}

 private:
  double shape(double update) const override {
    return to_ + (from_ - to_) * 0.5 * (1 + std::cos(std::numbers::pi * progress(update, end_)));
  }
  double from_, to_, end_;
};

}  // namespace

Member cosine_schedule() {
  return member<Schedule, CosineSchedule, Options>("cosine", "half a cosine from one value to another");
}

}  // namespace moe
