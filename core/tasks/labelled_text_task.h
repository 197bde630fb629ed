// Labelled texts; each text is one prediction.
#pragma once
#include "core/tasks/task.h"

namespace moe {

SampleShape labelled_text_shape(const TrainConfig& config, const Json& texts, const std::string& origin);
std::unique_ptr<Task> open_labelled_text_task(const TrainConfig& config, const std::string& format, const Json* texts,
                                              const std::string& origin);

}  // namespace moe
