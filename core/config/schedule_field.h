// A configuration field whose value may follow a schedule: `dropout: 0.1` or `dropout: {kind: linear, ...}`.
// The family of schedules is defined in a higher layer (core/schedule); this header declares what a configuration needs
// from it. Every file that names Choice<Schedule> must include this header, so that a bare number means the same
// everywhere.
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

// A schedule, the range of its values, and its place in the configuration. The range is declared once, with the field;
// assigning another schedule keeps it.
class ScheduleField : public Choice<Schedule> {
 public:
  explicit ScheduleField(double constant, Range<double> range = {});
  explicit ScheduleField(const Choice<Schedule>& schedule, Range<double> range = {});
  ScheduleField(const ScheduleField&);
  ScheduleField& operator=(const ScheduleField&);
  ~ScheduleField();
  ScheduleField& operator=(const Choice<Schedule>& schedule);
  ScheduleField& operator=(double constant);

  const Range<double>& range() const { return range_; }
  const FieldPlace& place() const { return place_; }
  void set_place(FieldPlace place) { place_ = std::move(place); }

  // The quantity over a run (core/schedule/scheduled.h). Throws UsageError, which names the field's place, for invalid
  // options and for a schedule that leaves the range during the run.
  Scheduled make(const RunLength& run) const;
  // The same with another range, for example one that depends on the layer.
  Scheduled make(const RunLength& run, const Range<double>& range) const;

 private:
  Range<double> range_;
  FieldPlace place_;
};

// Schedules for defaults: a constant, and a straight line over the whole run.
Choice<Schedule> constantly(double value);
Choice<Schedule> linearly(double from, double to);

}  // namespace moe
