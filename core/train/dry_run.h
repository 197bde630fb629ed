// The cost of a configuration, and warnings about it, without training.
#pragma once
#include <string>
#include <vector>

#include "comm/rank_counts.h"
#include "core/config/train_config.h"

namespace moe {

// A text table for the user, for so many ranks. `local_ranks`: those that share this host's memory.
std::string describe_dry_run(const TrainConfig& config, const RankCounts& ranks, int64_t local_ranks);

// Combinations that run but are probably not intended, one sentence each.
// `time`: tokens of a sample.
std::vector<std::string> lint(const TrainConfig& config, int64_t time, int64_t ranks, int64_t expert_parallel,
                              int64_t k, const RunLength& run);

}  // namespace moe
