// Texts in windows; every token is predicted.
#pragma once
#include "core/tasks/task.h"

namespace moe {

SampleShape text_shape(const TrainConfig& config, const Json& tokenizer, const std::string& origin);
std::unique_ptr<Task> open_text_task(const TrainConfig& config, const Json* tokenizer, const std::string& origin);

}  // namespace moe
