// Whether the traces that a run's routers repeat (moe.router: replay) fit the run.
#pragma once
#include "core/tasks/task.h"

namespace moe {

// Throws UsageError for a replay without a run, or whose run lacks the trace of an update, has other data, batches,
// blocks or experts, or traced only a part of the tokens; DataError for a damaged trace. The headers of the first and
// the last trace are read here, and those between when their updates are made.
void check_replay(const TrainConfig& config, const Task& task, const RunLength& length);

}  // namespace moe
