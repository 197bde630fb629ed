// Reports on an event of moe.lifecycle: lines for the console, and a metrics.jsonl record for each layer.
#pragma once
#include <optional>

#include "core/base/json.h"
#include "core/lifecycle/expert_lifecycle.h"

namespace moe {

struct ChangeOutcome {
  // Loss on the same validation batch before and after, nats per prediction; nothing without a validation split.
  std::optional<double> loss_before, loss_after;
  std::string why;     // why the function should have changed; empty: it should not have
  double seconds = 0;  // duration of the change

  // Whether the loss is unchanged up to rounding.
  bool preserved() const;
};

// The reason why a change alters the model's output at evaluation; empty for a change that by its form cannot. Experts
// that were never chosen may still be chosen later, so removing them counts as a reason.
std::string why_changed(const ExpertChange& change, const Model& model);

std::vector<std::string> to_words(const ExpertChange& change, const ChangeOutcome& outcome, const Model& model,
                                  int64_t step);
std::vector<Json> to_json(const ExpertChange& change, const ChangeOutcome& outcome, const Model& model);

// Completes a record of to_json() that was made before the loss after the change was measured.
void add_loss_after(Json& record, double loss, double seconds);

}  // namespace moe
