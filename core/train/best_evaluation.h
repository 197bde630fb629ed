// Tracks a run's best evaluation by the task's first metric, and the number of evaluations since then.
#pragma once
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/tasks/task.h"

namespace moe {

class BestEvaluation {
 public:
  // The best evaluation is stored in the run's state. Both arguments must outlive this object.
  BestEvaluation(RunState& run, const Task& task) : run_(run), task_(task) {}

  struct Verdict {
    bool is_best;
    std::string words;  // "new best", or the number of evaluations since the best
  };
  // Compares an evaluation at the run's current step with the best and records it.
  Verdict judge(const Evaluation& result);
  // The best value as text.
  std::string figure() const;

 private:
  const Metric& metric() const { return metrics().at(task_.metrics()[0]); }
  bool is_better(const Evaluation& result) const;

  RunState& run_;
  const Task& task_;
};

}  // namespace moe
