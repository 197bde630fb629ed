// Pairs of an image or sound and a text, image or sound of its class, for models that compare both
// (core/model/pair_model.h).
#pragma once
#include <array>

#include "core/tasks/task.h"

namespace moe {

inline constexpr std::array kPairMetrics = {
    "recall@1", "first_to_second@1", "second_to_first@1", "first_to_second@5", "second_to_first@5", "zero_shot", "nll"};

SampleShape pair_shape(const TrainConfig& config, const Json& pairs, const std::string& origin);
std::unique_ptr<Task> open_pair_task(const TrainConfig& config, const Json* pairs, const std::string& origin);

}  // namespace moe
