// Which evaluation of a run was the best, and for how many there has been none better: by the task's first metric.
#pragma once
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/tasks/task.h"

namespace moe {

class BestEvaluation {
 public:
  // The run's state, which keeps what is known of it; both must outlive this.
  BestEvaluation(RunState& run, const Task& task) : run_(run), task_(task) {}

  struct Verdict {
    bool is_best;
    std::string words;  // "new best", or how long ago the best was
  };
  // Of an evaluation at the run's step.
  Verdict judge(const Evaluation& result);
  // Of the best, as people read it.
  std::string figure() const;

 private:
  bool by_accuracy() const { return task_.metrics()[0] == std::string_view("accuracy"); }
  bool is_better(const Evaluation& result) const;

  RunState& run_;
  const Task& task_;
};

}  // namespace moe
