#include "core/record/run_records.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/base/json_text.h"
#include "core/base/metric_keys.h"

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

// The records of metrics.jsonl from a step on.
template <class Visit>
void each_record(const std::string& path, int64_t first_step, Visit visit) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json record = parse_json_or_null(line);
    const Json *type = record.find(metric_keys::kType), *step = record.find(metric_keys::kStep);
    if (!type || !type->is_string() || !step || !step->is_integer()) continue;
    if (step->get<int64_t>() >= first_step) visit(type->get<std::string>(), step->get<int64_t>(), record);
  }
}

}  // namespace

RunRecords::RunRecords(const std::string& folder, const std::optional<ResumedRecords>& resumed, bool tensorboard)
    : metrics_(folder + "/metrics.jsonl", resumed) {
  if (!tensorboard) return;
  // The records of the step that the run goes on from are written again below, because only some of them will be made
  // again.
  const int64_t first_step = resumed && has_event_files(folder) ? resumed->step : 0;
  events_.emplace(folder, first_step);
  each_record(folder + "/metrics.jsonl", first_step,
              [&](const std::string& type, int64_t step, const Json& record) { events_->write(type, step, record); });
}

void RunRecords::write(const std::string& type, int64_t step, const Json& record) {
  metrics_.write(type, step, record);
  if (events_) events_->write(type, step, record);
}

}  // namespace moe
