// The value of a scheduled quantity in the current step.
#pragma once
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

// While planning, returns the largest value of the run: features that a coefficient above 0 enables need their memory
// from the start.
inline double now(const Scheduled& quantity, const Context& ctx) {
  return ctx.planning ? quantity.largest() : quantity.at(ctx.step);
}

}  // namespace moe
