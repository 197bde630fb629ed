// Evaluations of one model under several settings, side by side: what routing contributes, and what it costs.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "core/reload/variation.h"

namespace moe {

// All of these take the first evaluation as the one that others are held against.
std::string variation_text(std::span<const VariedEvaluation> evaluations);
nlohmann::ordered_json variation_json(std::span<const VariedEvaluation> evaluations);
// `title` and `note`: the model, and what it was evaluated on.
std::string variation_html(std::span<const VariedEvaluation> evaluations, const std::string& title,
                           const std::string& note);

}  // namespace moe
