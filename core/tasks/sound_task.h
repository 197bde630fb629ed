// Labelled sounds as patches of their spectrograms; each sound is one prediction.
#pragma once
#include "core/tasks/task.h"

namespace moe {

SampleShape sound_shape(const TrainConfig& config, const Json& sounds, const std::string& origin);
std::unique_ptr<Task> open_sound_task(const TrainConfig& config, const std::string& format, const Json* sounds,
                                      const std::string& origin);

}  // namespace moe
