#include "core/train/tasks/labelled_task.h"

#include <array>

namespace moe {

LabelledTask::LabelledTask(const TrainConfig& config) {
  if (config.sample.every.amount > 0) throw UsageError("sample.every: a classifier writes no text");
  if (config.evaluate.stride > 0) throw UsageError("evaluate.stride: labelled samples have no windows");
}

NamedFigures LabelledTask::training_figures(double, const StepOutcome& last) const {
  return {{"accuracy", last.accuracy}};
}

std::unique_ptr<EvaluationSet> LabelledTask::evaluation_set(const std::string& split,
                                                            const EvaluationOptions& options) const {
  if (options.context > 0 || options.stride > 0 || options.streams > 0)
    throw UsageError("labelled samples have neither context nor stride nor streams");
  return samples_of(split, options.tokens);
}

std::span<const char* const> LabelledTask::metrics() const {
  static constexpr std::array kMetrics = {"accuracy", "nll"};
  return kMetrics;
}

}  // namespace moe
