// A configuration field whose value may follow a schedule: `dropout: 0.1` or `dropout: {kind: linear, ...}`.
//
// The family of schedules lives above this layer (core/schedule); this header says what a configuration has to know of
// it. Every file that names Choice<Schedule> includes this header, so that all agree on what a bare number means.
#pragma once
#include "core/config/choice.h"

namespace moe {

class Schedule;
class Scheduled;
struct RunLength;
template <>
const Table<Member>& family<Schedule>();
template <>
inline constexpr NumberShorthand kNumberShorthand<Schedule>{"constant", "value"};

// A schedule, the range that its values must stay in, and its place in the configuration. The range is declared here,
// once; assigning another schedule keeps it.
class ScheduleField : public Choice<Schedule> {
 public:
  explicit ScheduleField(double constant, Range<double> range = {});
  explicit ScheduleField(const Choice<Schedule>& schedule, Range<double> range = {});
  ScheduleField(const ScheduleField&) = default;
  ScheduleField& operator=(const ScheduleField&) = default;
  ScheduleField& operator=(const Choice<Schedule>& schedule);
  ScheduleField& operator=(double constant);

  const Range<double>& range() const { return range_; }
  const FieldPlace& place() const { return place_; }
  void set_place(FieldPlace place) { place_ = std::move(place); }

  // The quantity over a run (core/schedule/scheduled.h). Throws UsageError, which names the field's place, for options
  // that make no schedule and for one that leaves the range within the run.
  Scheduled make(const RunLength& run) const;
  // The same within another range: one that depends on the layer.
  Scheduled make(const RunLength& run, const Range<double>& range) const;

 private:
  Range<double> range_;
  FieldPlace place_;
};

// Schedules to begin with: one value throughout, and a straight line over the whole run.
Choice<Schedule> constantly(double value);
Choice<Schedule> linearly(double from, double to);

}  // namespace moe
