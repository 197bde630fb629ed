// Base of the tasks with labelled samples, images, sounds or texts: each sample is one prediction.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "core/tasks/task.h"

namespace moe {

inline constexpr std::array kLabelledMetrics = {"accuracy", "nll"};

// Tokens of a sample besides its patches or its text: 1 with a class token, else 0.
int64_t class_tokens(const TrainConfig& config);

class LabelledTask : public Task {
 public:
  void check(const TrainConfig& config) const override;
  NamedFigures training_figures(double loss, const StepOutcome& last) const override;
  std::unique_ptr<EvaluationSet> evaluation_set(const std::string& split,
                                                const EvaluationOptions& options) const override;

  // The class of a training sample, an index of class_names().
  virtual int32_t label(int64_t sample) const = 0;

 private:
  // Of the options, only `tokens` (the first samples) and what the samples allow matter. Throws UsageError for others.
  virtual std::unique_ptr<EvaluationSet> samples_of(const std::string& split,
                                                    const EvaluationOptions& options) const = 0;
};

}  // namespace moe
