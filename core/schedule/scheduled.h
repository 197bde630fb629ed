// A quantity that follows a schedule and must stay within its range.
#pragma once
#include "core/schedule/schedule.h"

namespace moe {

class Scheduled {
 public:
  // Throws UsageError, which begins with `place`, for invalid options and for a schedule that leaves the range during
  // the run.
  Scheduled(const Choice<Schedule>& choice, const RunLength& run, const Range<double>& range, const FieldPlace& place);

  // The value at an update, counted from 0; always within the range.
  double at(uint64_t update) const;
  double largest() const { return largest_; }
  double smallest() const { return smallest_; }
  double warmup() const { return schedule_->warmup(); }

 private:
  std::shared_ptr<Schedule> schedule_;
  Range<double> range_;
  double largest_, smallest_;
};

}  // namespace moe
