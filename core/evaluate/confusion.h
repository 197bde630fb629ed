// Which classes a classifier takes for which: the predictions of an evaluation by label.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/step/training_state.h"

namespace moe {

// Row: the label; column: the class with the largest logit, the first of equal ones.
using ConfusionCounts = std::vector<std::vector<int64_t>>;  // (classes, classes)

class Confusion {
 public:
  // `state` must outlive this object.
  Confusion(TrainingState& state, int64_t classes)
      : state_(state), classes_(classes), counts_(as_index(classes * classes)) {}

  // The outcome of a round, as evaluate() passes it to its visitor; its predictions are the model's last ones.
  void add(const Outcome& outcome);
  // On all ranks. Collective.
  ConfusionCounts counts(Communicator& world) const;

 private:
  TrainingState& state_;
  int64_t classes_;
  std::vector<double> counts_;  // (classes, classes)
  std::vector<int32_t> labels_;
  std::vector<float> logits_;  // (samples, classes)
};

// A line for each class with samples: their number, the accuracy on them, and what they are most often taken for.
std::string confusion_text(const ConfusionCounts& counts, const std::vector<std::string>& classes);
// The names, the accuracy by class (null without samples) and the counts.
Json confusion_json(const ConfusionCounts& counts, const std::vector<std::string>& classes);

}  // namespace moe
