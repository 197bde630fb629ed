#include "core/record/run_records.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace moe {
namespace {

namespace fs = std::filesystem;

bool has_event_files(const std::string& folder) {
  std::error_code error;
  const fs::directory_iterator files(folder, error);
  return std::any_of(begin(files), end(files), [](const fs::directory_entry& entry) {
    return entry.path().filename().string().starts_with("events.out.tfevents.");
  });
}

}  // namespace

RunRecords::RunRecords(const std::string& folder, const std::optional<ResumedRecords>& resumed, bool tensorboard)
    : metrics_(folder + "/metrics.jsonl", resumed) {
  if (!tensorboard) return;
  // The records of the step that the run goes on from are written again below, because only some of them will be made
  // again.
  const int64_t first_step = resumed && has_event_files(folder) ? resumed->step : 0;
  events_.emplace(folder, first_step);
  for_each_record(folder + "/metrics.jsonl", [&](const std::string& type, int64_t step, const Json& record) {
    if (step >= first_step) events_->write(type, step, record);
  });
}

void RunRecords::write(const std::string& type, int64_t step, const Json& record) {
  metrics_.write(type, step, record);
  if (events_) events_->write(type, step, record);
}

}  // namespace moe
