// What is told of an event of moe.life: lines for people and a record of metrics.jsonl for each layer.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "core/lifecycle/expert_life.h"

namespace moe {

struct ChangeOutcome {
  // Of the same validation batch before and after, nats per prediction; nothing without a validation split.
  std::optional<double> loss_before, loss_after;
  std::string why;     // the function should have changed; empty: it should not
  double seconds = 0;  // that it took

  // Whether the loss stayed, to rounding.
  bool preserved() const;
};

// Why a change alters what the model computes at evaluation; empty for one that by its form cannot. Of experts that
// were never chosen it is not known that they never will be: that is a reason.
std::string why_changed(const ExpertChange& change, const Model& model);

std::vector<std::string> to_words(const ExpertChange& change, const ChangeOutcome& outcome, const Model& model,
                                  int64_t step);
std::vector<nlohmann::ordered_json> to_json(const ExpertChange& change, const ChangeOutcome& outcome,
                                            const Model& model);

}  // namespace moe
