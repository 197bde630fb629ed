// The progress reports of a run: one console line and one JSON line per logged step.
#pragma once
#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/function_ref.h"
#include "core/base/json.h"
#include "core/evaluate/evaluator.h"
#include "core/step/train_step.h"

namespace moe {

// Numbers with their names in records and on the console.
using NamedFigures = std::vector<std::pair<const char*, double>>;

// The steps since the last record, and their results.
struct TrainRecord {
  int64_t step = 0, total_steps = 0;
  double tokens = 0;        // trained on since the start of the run
  double loss = 0;          // mean over the steps since the last record, nats per prediction
  NamedFigures figures;     // further numbers that the task reports
  StepOutcome last;         // the latest step
  double milliseconds = 0;  // mean per step, without evaluations and checkpoints
  double tokens_per_second = 0;
  double seconds_left = 0;
  Json sources{};                                           // by corpus of a mixture: loss and share of the samples
  Json curriculum{};                                        // Curriculum::record()
  std::vector<std::pair<std::string, double>> scheduled{};  // ScheduledQuantities::at() of the latest step
};

// The checkpoint from which a run goes on with its records (RunState).
struct ResumedRecords {
  int64_t step = 0;
  bool step_finished = true;        // whether what is due after the step was done
  int64_t lifecycle_records = 0;    // of moe.lifecycle, which the checkpoint has
  bool alarm_writes_again = false;  // whether the records of experts that the alarm restarted will be written again
};

// metrics.jsonl: one record per line is appended, each with the schema's version. Only rank 0 has one.
class MetricsFile {
 public:
  // `resumed`: absent for a new run, which drops all records. A resumed run drops the records after that step and those
  // of that step that will be written again: of moe.lifecycle, of a stop, and of what is due after the step if it is
  // not finished. Throws CheckpointError, also for a path that is a link.
  MetricsFile(const std::string& path, const std::optional<ResumedRecords>& resumed);
  ~MetricsFile();
  MetricsFile(const MetricsFile&) = delete;

  // Throws CheckpointError, also when the file was removed or replaced.
  void write(const std::string& type, int64_t step, Json record);

 private:
  std::string path_;
  std::FILE* file_ = nullptr;
};

// Calls `visit` with the type, the step and the content of each record of a file that is whole.
void for_each_record(const std::string& path, FunctionRef<void(const std::string&, int64_t, const Json&)> visit);

// The step of the last checkpoint that a file of records tells of; nothing if it is absent or tells of none.
std::optional<int64_t> recorded_checkpoint(const std::string& path);

std::string console_line(const TrainRecord& record, const Model& model);
Json to_json(const TrainRecord& record, const Model& model);
Json to_json(const Evaluation& evaluation);
// Adds the sums of an evaluation's parts to its record.
void add_parts(Json& record, const Evaluation& evaluation);
// Adds to a record, per layer: each expert's share of the assignments and, where some were dropped, each expert's
// dropped assignments as a share of the layer's assignments; of several modalities also the shares of each.
void add_loads(Json& record, const Model& model);

}  // namespace moe
