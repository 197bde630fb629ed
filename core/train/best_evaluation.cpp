#include "core/train/best_evaluation.h"

namespace moe {

// Equal values, which are common for the accuracy of few samples, are compared by the loss.
bool BestEvaluation::is_better(const Evaluation& result) const {
  if (!run_.best_loss) return true;
  switch (metric().order) {
    case MetricOrder::larger:
      if (run_.best_figure && metric().value(result) != *run_.best_figure)
        return metric().value(result) > *run_.best_figure;
      break;
    case MetricOrder::as_loss:
      break;
  }
  return result.nll() < *run_.best_loss;
}

std::string BestEvaluation::figure() const {
  return run_.best_figure ? fmt::format(fmt::runtime(metric().format), metric().factor * *run_.best_figure)
                          : fmt::format("{:.4f}", run_.best_loss.value_or(0));
}

BestEvaluation::Verdict BestEvaluation::judge(const Evaluation& result) {
  const bool by_figure = metric().order == MetricOrder::larger;
  // The figure before training may be high by chance and hard to beat, and there is no checkpoint of it.
  if (run_.step == 0 && by_figure) return {false, "before training"};
  if (is_better(result)) {
    run_.best_loss = result.nll();
    if (by_figure) run_.best_figure = metric().value(result);
    run_.best_step = run_.step;
    run_.evaluations_since_best = 0;
    return {true, "new best"};
  }
  ++run_.evaluations_since_best;
  return {false, fmt::format("stalled {} time{} (best: {} at step {})", run_.evaluations_since_best,
                             run_.evaluations_since_best == 1 ? "" : "s", figure(), run_.best_step)};
}

}  // namespace moe
