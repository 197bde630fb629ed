// The norm of the whole gradient when every rank holds different experts.
#pragma once
#include "comm/process_groups.h"
#include "core/nn/parameter.h"

namespace moe {

// The 2-norm of the gradient of the shared parameters (equal on all ranks) and of all experts (each rank has its own),
// after the gradients have been reduced. Collective over the expert group; returns the same on every rank.
double gradient_norm(Context& ctx, ParameterStore& parameters, const ProcessGroups& groups);

// The factor that reduces a gradient of this norm to at most `clip_norm` (0: no limit).
double clip_scale(double norm, double clip_norm);

}  // namespace moe
