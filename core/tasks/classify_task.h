// The task of classifying labelled samples: images, sounds, texts.
#pragma once
#include "core/tasks/task.h"

namespace moe {

// An entry for each kind of samples (data/labelled_format.h). A description names it.
struct SampleKind {
  const char* name;
  const char* one;  // what one of them is called
  SampleShape (*shape)(const TrainConfig& config, const Json& description, const std::string& origin);
  std::unique_ptr<Task> (*open)(const TrainConfig& config, const std::string& format, const Json* trained,
                                const std::string& origin);
};
const Table<SampleKind>& sample_kinds();

// The kind that a description names. Throws CheckpointError.
const SampleKind& described_kind(const Json& description, const std::string& origin);

SampleShape classify_shape(const TrainConfig& config, const Json& samples, const std::string& origin);
std::unique_ptr<Task> open_classify_task(const TrainConfig& config, const Json* samples, const std::string& origin);

}  // namespace moe
