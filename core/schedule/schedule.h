// Schedule: the value of a scheduled quantity (the learning rate, a temperature, a coefficient, k) over the run.
// Members are in schedules/, the table in schedule.cpp.
#pragma once
#include <memory>
#include <vector>

#include "core/config/schedule_field.h"

namespace moe {

// The field shared by all members.
struct ScheduleOptions {
  Duration warmup = Duration::updates(0);
  void common_fields(FieldVisitor& v) {
    v.field("warmup", warmup, "length of the warm-up, during which the value rises linearly from 0");
  }
};

class Schedule {
 public:
  struct Setup {
    RunLength run;
  };

  Schedule(const ScheduleOptions& options, const Setup& setup) : warmup_(to_updates(options.warmup, setup.run)) {}
  virtual ~Schedule() = default;

  // The value at an update, counted from 0.
  double at(int64_t update) const;
  double warmup() const { return warmup_; }
  // Updates, besides the first and the last, at which the value may have an extreme that sampling other updates would
  // miss.
  virtual std::vector<double> corners() const { return {warmup_}; }

 protected:
  // The value without the warm-up.
  virtual double shape(double update) const = 0;
  // Progress in [0, 1] from the end of the warm-up to update `end`.
  double progress(double update, double end) const;

 private:
  double warmup_;
};

}  // namespace moe
