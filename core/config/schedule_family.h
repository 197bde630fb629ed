// What a configuration has to know of the family of schedules. Whoever names Choice<Schedule> includes this, so that
// all agree on what a bare number means.
#pragma once
#include "core/config/choice.h"

namespace moe {

class Schedule;
template <>
const Table<Member>& family<Schedule>();
template <>
inline constexpr NumberShorthand kNumberShorthand<Schedule>{"constant", "value"};

// Defaults of paced fields: one value throughout, and a straight line over the whole run.
Choice<Schedule> constantly(double value);
Choice<Schedule> linearly(double from, double to);

}  // namespace moe
