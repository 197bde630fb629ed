// Reports on a curriculum: for a terminal, as a section of the web page, as JSON.
#pragma once

#include "core/base/json.h"
#include "core/inspect/curriculum_stats.h"
#include "core/inspect/run_history.h"

namespace moe {

// Each argument may be missing: without a store only the course is shown, without records only the store.
std::string curriculum_text(const std::optional<CurriculumStats>& stats, const RunHistory& history);
Json curriculum_json(const std::optional<CurriculumStats>& stats, const RunHistory& history);
// Bodies of sections; empty where there is nothing to show.
std::string curriculum_plots(const RunHistory& history);  // open share, mix, quantiles of each signal
std::string curriculum_tables(const CurriculumStats& stats);

}  // namespace moe
