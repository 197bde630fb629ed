// Whether what a run trains can leave it.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/units.h"
#include "core/config/train_config.h"

namespace moe {

// Why a configured model could not be exported exactly after its last update, in one sentence; empty if it could, and
// for tasks other than language models. `tokens`: of the tokenizer.
std::string why_not_exportable(const TrainConfig& config, int64_t tokens, const RunLength& run);

}  // namespace moe
