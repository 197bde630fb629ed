// Labelled images as patches; each image is one prediction.
#pragma once
#include "core/tasks/task.h"

namespace moe {

SampleShape image_shape(const TrainConfig& config, const Json& images, const std::string& origin);
std::unique_ptr<Task> open_image_task(const TrainConfig& config, const std::string& format, const Json* images,
                                      const std::string& origin);

}  // namespace moe
