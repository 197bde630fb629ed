// Base of the tasks with labelled samples, images or texts: each sample is one prediction.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "core/tasks/task.h"

namespace moe {

inline constexpr std::array kLabelledMetrics = {"accuracy", "nll"};

class LabelledTask : public Task {
 public:
  void check(const TrainConfig& config) const override;
  NamedFigures training_figures(double loss, const StepOutcome& last) const override;
  std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                const EvaluationOptions& options) const override;

  // The class of a training sample, and the names of the classes.
  virtual int32_t label(int64_t sample) const = 0;
  virtual std::vector<std::string> class_names() const = 0;

 private:
  // The first `samples` of a split; 0 = all.
  virtual std::unique_ptr<EvaluationSet> samples_of(const std::string& split, int64_t samples) const = 0;
};

}  // namespace moe
