// The task of classifying labelled samples, either images or texts.
#pragma once
#include "core/tasks/task.h"

namespace moe {

SampleShape classify_shape(const TrainConfig& config, const nlohmann::json& samples, const std::string& origin);
std::unique_ptr<Task> open_classify_task(const TrainConfig& config, const nlohmann::json* samples,
                                         const std::string& origin);

}  // namespace moe
