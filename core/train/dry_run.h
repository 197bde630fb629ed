// What a configuration would cost, and what looks wrong with it, before anything is trained.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/config/train_config.h"

namespace moe {

// A table for people. `pretended_ranks` > 0 plans for that many instead of the world's.
std::string describe_dry_run(const TrainConfig& config, const std::shared_ptr<Communicator>& world,
                             int64_t pretended_ranks);

// Combinations that run but are probably not meant, a sentence each.
// `time`: tokens of a sample.
std::vector<std::string> lint(const TrainConfig& config, int64_t time, int64_t ranks, int64_t expert_parallel,
                              int64_t k, const RunLength& run);

}  // namespace moe
