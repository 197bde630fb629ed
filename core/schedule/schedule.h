// Schedule: the value of a paced quantity (the learning rate, a temperature, a coefficient, k) as the run goes on.
// Members are in schedules/, the table in schedule.cpp.
#pragma once
#include <memory>
#include <vector>

#include "core/config/schedule_field.h"

namespace moe {

// The field that every member has.
struct ScheduleOptions {
  Duration warmup = Duration::updates(0);
  void common_fields(FieldVisitor& v) {
    v.field("warmup", warmup, "the value first rises from 0 in equal steps over this length");
  }
};

class Schedule {
 public:
  struct Setup {
    RunLength run;
  };

  Schedule(const ScheduleOptions& options, const Setup& setup) : warmup_(to_updates(options.warmup, setup.run)) {}
  virtual ~Schedule() = default;

  // At the update that is about to be made, counted from 0.
  double at(int64_t update) const;
  double warmup() const { return warmup_; }
  // Updates at which a value may lie that its neighbours do not show, beside the first and the last.
  virtual std::vector<double> corners() const { return {warmup_}; }

 protected:
  // Without the warm-up.
  virtual double shape(double update) const = 0;
  // Progress in [0, 1] from the end of the warm-up to update `end`.
  double progress(double update, double end) const;

 private:
  double warmup_;
};

}  // namespace moe
