#include "core/inspect/lifecycle_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/base/json.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {

static constexpr size_t kMostShown = 200;  // lines

// The latest events, and the number of earlier ones.
static std::pair<size_t, std::vector<LifecyclePoint>> shown(const RunHistory& history) {
  const size_t hidden = history.lifecycle.size() - std::min(history.lifecycle.size(), kMostShown);
  return {hidden, {history.lifecycle.begin() + static_cast<std::ptrdiff_t>(hidden), history.lifecycle.end()}};
}

static std::string losses(const LifecyclePoint& p) {
  if (std::isnan(p.loss_before) || std::isnan(p.loss_after)) return "-";
  return fmt::format("{:.4f} -> {:.4f}", p.loss_before, p.loss_after);
}

static std::string verdict(const LifecyclePoint& p) {
  if (p.preserved) return "preserved";
  return p.why.empty() ? "not preserved" : "not preserved: " + p.why;
}

std::string lifecycle_text(const RunHistory& history) {
  if (history.lifecycle.empty()) return "";
  const auto [hidden, points] = shown(history);
  std::string text = "\nlifecycle of the experts\n";
  if (hidden > 0) text += fmt::format("  ({} earlier lines left out)\n", hidden);
  for (const LifecyclePoint& p : points) {
    text += fmt::format("  step {:>6} layer {:>2} {:<8} {:>3} -> {:<3} loss {} {}\n", p.step, p.layer, p.kind,
                        p.experts_before, p.experts_after, losses(p), verdict(p));
    if (!p.what.empty()) text += fmt::format("         {}\n", p.what);
  }
  return text;
}

std::string lifecycle_table(const RunHistory& history) {
  if (history.lifecycle.empty()) return "";
  const auto [hidden, points] = shown(history);
  std::string html = "<div class=\"card scroll\"><table>\n" +
                     header_cells({"step", "layer", "event", "experts", "loss of one batch", "function", "what"}) +
                     "<tbody>\n";
  for (const LifecyclePoint& p : points) {
    html +=
        fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{} to {}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                    p.step, p.layer, escape_markup(p.kind), p.experts_before, p.experts_after, escape_markup(losses(p)),
                    escape_markup(verdict(p)), escape_markup(p.what));
  }
  html += "</tbody></table></div>\n";
  if (hidden > 0) html += fmt::format("<p class=\"sub\">{} earlier lines are left out.</p>\n", hidden);
  return html;
}

static Json or_null(double x) {
  return std::isnan(x) ? Json(nullptr) : Json(x);
}

Json lifecycle_json(const RunHistory& history) {
  Json events = Json::array();
  for (const LifecyclePoint& p : history.lifecycle) {
    events.push_back({{"step", p.step},
                      {"layer", p.layer},
                      {"kind", p.kind},
                      {"experts_before", or_null(p.experts_before)},
                      {"experts_after", or_null(p.experts_after)},
                      {"what", p.what},
                      {"preserved", p.preserved},
                      {"why", p.why},
                      {"loss_before", or_null(p.loss_before)},
                      {"loss_after", or_null(p.loss_after)}});
  }
  return events;
}

}  // namespace moe
