// The constant `value`.
#include "core/schedule/scheduled.h"

namespace moe {
namespace {

struct Options : Fields<Options>, ScheduleOptions {
  double value = 1e-3;
  void fields(FieldVisitor& v) override {
    v.field("value", value, "the constant value");
    common_fields(v);
  }
};

class ConstantSchedule : public Schedule {
 public:
  ConstantSchedule(const Options& options, const Setup& setup) : Schedule(options, setup), value_(options.value) {}

 private:
  double shape(double) const override { return value_; }
  double value_;
};

}  // namespace

Choice<Schedule> constantly(double value) {
  Choice<Schedule> choice("constant");
  choice.as<Options>().value = value;
  return choice;
}

Member constant_schedule() {
  return member<Schedule, ConstantSchedule, Options>("constant", "the same value during the whole run");
}

}  // namespace moe
