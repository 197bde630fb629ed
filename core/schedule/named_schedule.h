// A schedule from its configuration, whose errors tell the key.
#pragma once
#include "core/schedule/schedule.h"

namespace moe {

// Throws UsageError "<key>: <why>" for options that make no schedule.
std::unique_ptr<Schedule> make_schedule(const std::string& key, const Choice<Schedule>& choice, const RunLength& run);

}  // namespace moe
