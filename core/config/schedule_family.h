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

}  // namespace moe
