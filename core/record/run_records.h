// The records of a run, in metrics.jsonl and, with log.tensorboard, in event files of TensorBoard. Only rank 0 has
// them.
#pragma once
#include <optional>
#include <string>

#include "core/record/metrics.h"
#include "core/record/tensorboard.h"

namespace moe {

class RunRecords {
 public:
  // `resumed`: as of MetricsFile. Records that the run's first event file lacks are added to it. Throws
  // CheckpointError.
  RunRecords(const std::string& folder, const std::optional<ResumedRecords>& resumed, bool tensorboard);

  // Throws CheckpointError.
  void write(const std::string& type, int64_t step, const Json& record);

 private:
  MetricsFile metrics_;
  std::optional<EventFile> events_;
};

}  // namespace moe
