// The value that a paced quantity of the model has in the step that is being made.
#pragma once
#include "core/schedule/scheduled.h"
#include "core/tensor/context.h"

namespace moe {

// While planning the largest of the run: what a coefficient above 0 switches on needs its memory from the beginning.
inline double now(const Scheduled& quantity, const Context& ctx) {
  return ctx.planning ? quantity.largest() : quantity.at(ctx.step);
}

}  // namespace moe
