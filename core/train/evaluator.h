// The loss of a model on a split. The figures do not depend on ranks or batch size: every window is computed alone, and
// each token but the very first is predicted once.
#pragma once
#include <optional>

#include "core/train/training_state.h"
#include "data/corpus.h"
#include "data/evaluation_windows.h"

namespace moe {

struct EvaluationOptions {
  int64_t context = 0;
  int64_t stride = 0;     // 0 = context
  int64_t tokens = 0;     // leading tokens of the split; 0 = all
  int64_t sequences = 1;  // windows at a time on each rank
};

struct Evaluation {
  double loss_sum = 0;                    // -ln p over all predicted tokens, nats
  double tokens = 0;                      // predicted
  double correct = 0;                     // predicted tokens that had the largest logit
  std::optional<double> bytes_per_token;  // of the split's raw text

  double nll() const { return loss_sum / tokens; }  // nats per token
  double perplexity() const;
  double bits_per_token() const;
  double bits_per_byte() const;       // of the raw text; NaN when its length is unknown
  double bits_per_character() const;  // bits per byte where known (a character is a byte, as in text8), else per token
  double accuracy() const { return correct / tokens; }
};

// The figures by the names that users ask for them.
struct Metric {
  const char* name;
  double (*value)(const Evaluation&);
};
const Table<Metric>& metrics();

// Collective. Leaves the routing statistics of the evaluated tokens in the model's sums.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Split& split,
                    const EvaluationOptions& options);

// Bits per character of a mean loss, with the same convention.
double bits_per_character(double nll, std::optional<double> bytes_per_token);
std::optional<double> bytes_per_token(const Split& split);

}  // namespace moe
