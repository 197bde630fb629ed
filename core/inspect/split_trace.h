// The routing of a split's first tokens by a stored model.
#pragma once
#include <string>

#include "core/reload/load_run.h"
#include "core/trace/step_trace.h"

namespace moe {

enum class TracedParts {
  logits,  // and the tokens, on rank 0
  inputs,  // of the routers, on every rank
};
// Evaluates the first tokens of the split, `sequences` (of load_run) at a time on each rank. Collective.
StepTrace split_trace(LoadedRun& run, const Task& task, const std::string& split, int64_t tokens, int64_t sequences,
                      TracedParts parts);

}  // namespace moe
