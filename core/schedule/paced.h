// A quantity that follows a schedule and must stay in its range.
#pragma once
#include "core/schedule/schedule.h"

namespace moe {

class Paced {
 public:
  // `name`: the key that errors tell. Throws UsageError when the value leaves the range within the run.
  Paced(const std::string& name, const Choice<Schedule>& choice, const RunLength& run, Range<double> range);

  // At an update, counted from 0; in the range.
  double at(uint64_t update) const;
  double largest() const { return largest_; }
  double smallest() const { return smallest_; }

 private:
  std::shared_ptr<Schedule> schedule_;
  Range<double> range_;
  double largest_, smallest_;
};

}  // namespace moe
