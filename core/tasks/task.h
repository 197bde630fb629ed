// What a run learns: its samples, how it is judged, and how both are told of. The loop, the evaluation and the reports
// know no more of texts and images than this.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/evaluate/evaluator.h"
#include "core/record/metrics.h"
#include "data/evaluation_set.h"

namespace moe {

// A sample for people: a text, or a picture with a line about it.
struct SampleView {
  std::string text;
  int64_t channels = 0, height = 0, width = 0;  // 0: no picture
  std::vector<uint8_t> pixels{};                // (channels, height, width)
};

// What a step's samples come to.
struct SampleExtent {
  int64_t time = 0;    // tokens that each is padded to
  int64_t tokens = 0;  // without padding
};

struct GeneratedText {
  std::string prompt, text;
};

class Task {
 public:
  virtual ~Task() = default;

  // ---- the data
  virtual std::string data_name() const = 0;
  // With its time.
  virtual SampleShape shape() const = 0;
  virtual int64_t num_samples() const = 0;         // of the training split
  virtual nlohmann::json identity() const = 0;     // what must be the same when a run is resumed
  virtual nlohmann::json samples() const = 0;      // what a difficulty store's samples are
  virtual nlohmann::json description() const = 0;  // what a trained model has to know of its samples
  virtual std::string summary() const = 0;         // a line for people
  virtual int64_t memory_bytes() const = 0;
  virtual SampleView view(int64_t sample) const = 0;

  // ---- training
  // Throws UsageError for keys of a run that make no sense with such samples.
  virtual void check(const TrainConfig& config) const { (void)config; }
  // Of the samples of a whole step, on all ranks.
  virtual SampleExtent extent(std::span<const SampleVisit> visits) const {
    const int64_t time = shape().time;
    return {time, std::ssize(visits) * time};
  }
  // Of a sample, on average.
  virtual double tokens_per_sample() const { return static_cast<double>(shape().time); }
  // `time`: of extent().
  virtual void load(std::span<const SampleVisit> visits, int64_t time, Batch& batch) const = 0;
  // What is told of training besides the loss.
  virtual NamedFigures training_figures(double loss, const StepOutcome& last) const = 0;
  // Text as the model would write it; nothing from a model that does not. `step` draws it.
  virtual std::optional<GeneratedText> generate(TrainingState&, int64_t /*step*/) const { return std::nullopt; }

  // ---- evaluation
  virtual bool has_split(std::string_view split) const = 0;
  // DataError for an unknown split, UsageError for options that make no sense.
  virtual std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                        const EvaluationOptions& options) const = 0;
  virtual uint64_t content_hash(const std::string& split) const = 0;
  // Of metrics(), the first before all.
  virtual std::span<const char* const> metrics() const = 0;
  // Nats per prediction that no model can go below, where known.
  virtual std::optional<double> entropy_rate() const { return std::nullopt; }
  // Whether a model that was trained on such samples has a head for these, too.
  virtual bool predicts_alike(const nlohmann::json& /*trained*/, const std::string& /*origin*/) const { return true; }
  // Found by trial (core/evaluate/measure_causality.h). Collective. UsageError from a task that is not about
  // prediction.
  virtual Causality measure_causality(TrainingState& state, const std::string& split,
                                      const EvaluationOptions& options) const;
};

// evaluate() of a task's split, with the task's metrics.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Task& task, const std::string& split,
                    const EvaluationOptions& options);

// A line of the table of tasks, which `task` names.
struct TaskKind {
  const char* name;
  const char* file;  // of a checkpoint, with Task::description()
  // From such a description. Throws CheckpointError for one that is damaged; `origin` is its file.
  SampleShape (*shape)(const TrainConfig& config, const nlohmann::json& description, const std::string& origin);
  // `trained`: the description of the samples that a model was trained on; others are a DataError. May be null.
  std::unique_ptr<Task> (*open)(const TrainConfig& config, const nlohmann::json* trained, const std::string& origin);
};
const Table<TaskKind>& tasks();

// The samples that a configuration names. Throws DataError, UsageError.
std::unique_ptr<Task> open_task(const TrainConfig& config);
// The same, as a checkpoint of a run of this task describes them. Throws CheckpointError too.
std::unique_ptr<Task> open_task(const TrainConfig& config, const std::string& checkpoint);
// What a checkpoint of a run of `task` tells of its samples: Task::description(). Throws CheckpointError.
nlohmann::json read_description(const std::string& task, const std::string& checkpoint);

// Throws UsageError where images are to be augmented, for tasks without images.
void refuse_augmentation(const DataConfig& config);

// The length of a run on the task's samples. Throws UsageError for one in percent.
RunLength run_length(const TrainConfig& config, const Task& task);

}  // namespace moe
