// What a curriculum did: for a terminal, as a part of the web page, as JSON.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "core/inspect/curriculum_stats.h"
#include "core/inspect/run_history.h"

namespace moe {

// Neither needs the other: without a store only the course is shown, without records only the store.
std::string curriculum_text(const std::optional<CurriculumStats>& stats, const RunHistory& history);
nlohmann::ordered_json curriculum_json(const std::optional<CurriculumStats>& stats, const RunHistory& history);
// Sections' bodies; empty where there is nothing to show.
std::string curriculum_plots(const RunHistory& history);  // open part, mix, quantiles of each signal
std::string curriculum_tables(const CurriculumStats& stats);

}  // namespace moe
