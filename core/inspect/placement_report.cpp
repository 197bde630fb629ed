#include "core/inspect/placement_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {

static constexpr size_t kMostShown = 50;  // lines

static std::span<const PlacementPoint> shown(const RunHistory& history) {
  return std::span(history.placements).last(std::min(history.placements.size(), kMostShown));
}

static std::string factors(const PlacementPoint& p) {
  if (std::isnan(p.busiest_before) || std::isnan(p.busiest_after)) return "-";
  return fmt::format("{:.3f} -> {:.3f}", p.busiest_before, p.busiest_after);
}

static std::string together(const PlacementPoint& p) {
  if (std::isnan(p.together_before) || std::isnan(p.together_after)) return "-";
  return fmt::format("{:.1f}% -> {:.1f}%", 100 * p.together_before, 100 * p.together_after);
}

std::string placement_text(const RunHistory& history) {
  if (history.placements.empty()) return "";
  std::string text =
      "\nexperts moved between ranks: rows of the busiest rank, relative to the mean, in the worst layer\n";
  if (const size_t hidden = history.placements.size() - shown(history).size(); hidden > 0) {
    text += fmt::format("  ({} earlier lines left out)\n", hidden);
  }
  for (const PlacementPoint& p : shown(history)) {
    text += fmt::format("  step {:>6} {:<13} {} | {:.0f} experts moved", p.step, p.kind, factors(p), p.moved);
    if (!std::isnan(p.copies)) text += fmt::format(" | {:.0f} copies", p.copies);
    text += std::isnan(p.together_after) ? "\n" : fmt::format(" | chosen together and on one rank {}\n", together(p));
  }
  return text;
}

std::string placement_table(const RunHistory& history) {
  if (history.placements.empty()) return "";
  std::string html = "<div class=\"card scroll\"><table>\n" +
                     header_cells({"step", "placement", "rows of the busiest rank", "chosen together and on one rank",
                                   "moved", "copies"}) +
                     "<tbody>\n";
  for (const PlacementPoint& p : shown(history)) {
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0f}</td><td>{}</td></tr>\n", p.step,
                        escape_markup(p.kind), escape_markup(factors(p)), escape_markup(together(p)), p.moved,
                        std::isnan(p.copies) ? "-" : fmt::format("{:.0f}", p.copies));
  }
  return html + "</tbody></table></div>\n";
}

static Json or_null(double x) {
  return std::isnan(x) ? Json(nullptr) : Json(x);
}

Json placement_json(const RunHistory& history) {
  Json points = Json::array();
  for (const PlacementPoint& p : history.placements) {
    points.push_back({{"step", p.step},
                      {"kind", p.kind},
                      {"busiest_before", or_null(p.busiest_before)},
                      {"busiest_after", or_null(p.busiest_after)},
                      {"together_before", or_null(p.together_before)},
                      {"together_after", or_null(p.together_after)},
                      {"moved", p.moved},
                      {"copies", or_null(p.copies)}});
  }
  return points;
}

}  // namespace moe
