// `from` until `after`, then from * (update / after)^exponent. Exponent -0.5 is the inverse square root of Vaswani et
// al. (2017).
#include <algorithm>
#include <cmath>

#include "core/schedule/schedule.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double from = 1e-3, exponent = -0.5;
  Duration after = Duration::percent(2);
  void fields(FieldVisitor& v) override {
    v.field("from", from, "value until `after`");
    v.field("exponent", exponent, "exponent of (update / after), by which the value is multiplied after `after`");
    v.field("after", after, "length of the initial constant part");
    common_fields(v);
  }
};

class PowerSchedule : public Schedule {
 public:
  PowerSchedule(const Options& options, const Setup& setup)
      : Schedule(options, setup),
        from_(options.from),
        exponent_(options.exponent),
        after_(std::max(1.0, to_updates(options.after, setup.run))) {}

 private:
  double shape(double update) const override { return from_ * std::pow(std::max(1.0, update / after_), exponent_); }
  double from_, exponent_, after_;
};

}  // namespace

Member power_schedule() {
  return member<Schedule, PowerSchedule, Options>("power", "a power of the update, e.g. the inverse square root");
}

}  // namespace moe
