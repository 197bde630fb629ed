#include "core/tasks/labelled_task.h"

namespace moe {

int64_t class_tokens(const TrainConfig& config) {
  return config.model.pooling == "class_token" ? 1 : 0;
}

void LabelledTask::check(const TrainConfig& config) const {
  if (config.sample.every.amount > 0) {
    raise<UsageError>("{}: a classifier does not generate text", config.sample.where("every"));
  }
  if (config.data.documents != "joined") {
    raise<UsageError>("{}: labelled samples are independent of one another; use joined",
                      config.data.where("documents"));
  }
  if (!config.data.retrieval.neighbours.empty()) {
    raise<UsageError>("{}: only texts have retrieved prefixes, with task: language_model",
                      config.data.retrieval.where("neighbours"));
  }
  if (config.evaluate.stride > 0) {
    raise<UsageError>("{}: labelled samples have no windows", config.evaluate.where("stride"));
  }
}

NamedFigures LabelledTask::training_figures(double, const StepOutcome& last) const {
  return {{"accuracy", last.accuracy}};
}

std::unique_ptr<EvaluationSet> LabelledTask::evaluation_set(const std::string& split,
                                                            const EvaluationOptions& options) const {
  if (options.context > 0 || options.stride > 0 || options.streams > 0)
    throw UsageError("labelled samples have no context, stride or streams; remove these options");
  return samples_of(split, options);
}

}  // namespace moe
