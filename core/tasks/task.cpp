#include "core/tasks/task.h"

#include <cmath>

#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/tasks/classify_task.h"
#include "core/tasks/labelled_task.h"
#include "core/tasks/pair_task.h"
#include "core/tasks/text_task.h"
#include "data/tokenizers/trained.h"

namespace moe {

const Table<TaskKind>& tasks() {
  static const Table<TaskKind> table{
      "task",
      {{.name = "language_model",
        .file = kTokenizerFile,
        .old_file = kOldTokenizerFile,
        .shape = text_shape,
        .make = open_text_task,
        .metrics = kTextMetrics,
        .starts_from = {},
        .tokenizer = [](const Json& description) { return &description; }},
       {.name = "classify",
        .file = "samples.json",
        .old_file = nullptr,
        .shape = classify_shape,
        .make = open_classify_task,
        .metrics = kLabelledMetrics,
        .starts_from = {"language_model"},
        .tokenizer = [](const Json& description) { return description.find("tokenizer"); }},
       {.name = "pairs",
        .file = "pairs.json",
        .old_file = nullptr,
        .shape = pair_shape,
        .make = open_pair_task,
        .metrics = kPairMetrics,
        .starts_from = {},
        .tokenizer = [](const Json& description) -> const Json* {
          const Json* second = description.find("second");
          return second ? second->find("tokenizer") : nullptr;
        }}}};
  return table;
}

template <>
std::vector<std::string> words_of<TaskKind>() {
  return tasks().names();
}

std::unique_ptr<Task> TaskKind::open(const TrainConfig& config, const Json* trained, const std::string& origin) const {
  std::unique_ptr<Task> task = make(config, trained, origin);
  task->kind_ = this;
  return task;
}

std::unique_ptr<Task> open_task(const TrainConfig& config) {
  return tasks().at(config.task).open(config, nullptr, "");
}

std::span<const char* const> Task::metrics() const {
  MOE_CHECK(kind_, "a task that TaskKind::open did not make");
  return kind_->metrics;
}

std::string description_file(const TaskKind& kind, const std::string& checkpoint) {
  const std::string file = checkpoint + "/" + kind.file;
  if (!kind.old_file || file_exists(file)) return file;
  const std::string old = checkpoint + "/" + kind.old_file;
  return file_exists(old) ? old : file;
}

Json read_description(const std::string& task, const std::string& checkpoint) {
  const std::string file = description_file(tasks().at(task), checkpoint);
  try {
    return parse_json(read_text(file));
  } catch (const JsonError& error) {
    raise<CheckpointError>("{} is damaged: {}", file, error.what());
  }
}

std::unique_ptr<Task> open_task(const TrainConfig& config, const std::string& checkpoint) {
  const Json description = read_description(config.task, checkpoint);
  const TaskKind& kind = tasks().at(config.task);
  return kind.open(config, &description, description_file(kind, checkpoint));
}

static void refuse(const AugmentConfig& config, const char* key, bool is_set, const char* kind) {
  if (is_set) raise<UsageError>("{}: only for {}", config.where(key), kind);
}

AugmentConfig image_augmentation(AugmentConfig augment) {
  augment.time_shift = augment.snr = augment.mask_time = 0;
  augment.mask_bands = 0;
  return augment;
}

AugmentConfig sound_augmentation(AugmentConfig augment) {
  augment.shift = 0;
  augment.flip = false;
  return augment;
}

void refuse_image_augmentation(const DataConfig& config) {
  refuse(config.augment, "shift", config.augment.shift > 0, "images");
  refuse(config.augment, "flip", config.augment.flip, "images");
}

void refuse_sound_augmentation(const DataConfig& config) {
  refuse(config.augment, "time_shift", config.augment.time_shift > 0, "sounds");
  refuse(config.augment, "snr", config.augment.snr > 0, "sounds");
  refuse(config.augment, "mask_time", config.augment.mask_time > 0, "sounds");
  refuse(config.augment, "mask_bands", config.augment.mask_bands > 0, "sounds");
}

void refuse_augmentation(const DataConfig& config) {
  refuse_image_augmentation(config);
  refuse_sound_augmentation(config);
}

void refuse_noise(const EvaluationOptions& options) {
  if (options.noise > 0) throw UsageError("noise is for images; this task has none");
}

Causality Task::measure_causality(TrainingState&, const std::string&, const EvaluationOptions&) const {
  throw UsageError("causality can only be measured for models that predict the next token");
}

Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Task& task, const std::string& split,
                    const EvaluationOptions& options) {
  Evaluation result =
      evaluate(state, groups, *task.evaluation_set(split, options), options.sequences, {}, options.stop);
  result.metrics = task.metrics();
  return result;
}

// Tokens and samples of a run are counted in 64 bits.
static constexpr double kMostUpdates = 1e12;

RunLength run_length(const TrainConfig& config, const Task& task) {
  if (config.train.steps.unit == Duration::Unit::percent) {
    raise<UsageError>("train.steps: {} has no total to refer to; give updates, tokens or epochs",
                      config.train.steps.to_string());
  }
  const double tokens = static_cast<double>(config.train.batch) * task.tokens_per_sample();
  const double per_epoch = static_cast<double>(task.num_samples()) / static_cast<double>(config.train.batch);
  const double updates = to_updates(config.train.steps, {0, tokens, per_epoch});
  if (updates > kMostUpdates) {
    raise<UsageError>("{}: {} is {:.3g} updates; a run has at most {:.0e}", config.train.where("steps"),
                      config.train.steps.to_string(), updates, kMostUpdates);
  }
  return {std::llround(updates), tokens, per_epoch};
}

}  // namespace moe
