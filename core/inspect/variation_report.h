// Reports on evaluations of one model under several settings: what routing contributes, and what it costs.
#pragma once
#include <span>
#include <string>

#include "core/base/json.h"
#include "core/reload/variation.h"

namespace moe {

// All of these compare the other evaluations with the first one.
std::string variation_text(std::span<const VariedEvaluation> evaluations);
Json variation_json(std::span<const VariedEvaluation> evaluations);
// `title` and `note`: the model, and the data it was evaluated on.
std::string variation_html(std::span<const VariedEvaluation> evaluations, const std::string& title,
                           const std::string& note);

}  // namespace moe
