#include "core/inspect/communication_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/base/units.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"
#include "core/inspect/timeline.h"

namespace moe {
namespace {

std::string milliseconds(double seconds) {
  return std::isnan(seconds) ? "-" : fmt::format("{:.2f}", seconds * 1e3);
}

std::string count_text(double count) {
  return std::isnan(count) ? "-" : fmt::format("{:.0f}", count);
}

std::string lost_text(const CommunicationPoint& p) {
  return std::isnan(p.lost) ? "-" : fmt::format("{:.1f} %", 100 * p.lost);
}

// The rows of all layers together, by kind in the order of the record.
std::vector<CommunicationRow> by_kind(const CommunicationPoint& point) {
  std::vector<CommunicationRow> sums;
  for (const CommunicationRow& row : point.rows) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.kind == row.kind; });
    if (sum == sums.end()) {
      sums.push_back(row);
      sums.back().layer = -1;
      continue;
    }
    for (const auto part :
         {&CommunicationRow::bytes_inside, &CommunicationRow::bytes_between, &CommunicationRow::messages,
          &CommunicationRow::transfer, &CommunicationRow::waiting, &CommunicationRow::hidden}) {
      (*sum).*part += row.*part;
    }
  }
  return sums;
}

std::string table(const CommunicationPoint& point) {
  std::string html = "<div class=\"card scroll\"><table>\n" +
                     header_cells({"kind", "block", "inside hosts", "between hosts", "messages", "transfer ms",
                                   "waiting ms", "hidden ms"}) +
                     "<tbody>\n";
  for (const CommunicationRow& row : point.rows) {
    html += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0f}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        escape_markup(row.kind), row.layer < 0 ? "-" : std::to_string(row.layer), format_bytes(row.bytes_inside),
        format_bytes(row.bytes_between), row.messages, milliseconds(row.transfer), milliseconds(row.waiting),
        milliseconds(row.hidden));
  }
  return html + "</tbody></table></div>\n";
}

// The share that was lost, over the run.
LineChart lost_chart(const RunHistory& history) {
  LineChart chart{.title = "Lost to communication", .note = "per cent of an update", .x_label = "step"};
  Curve curve{"lost", {}, {}};
  for (const CommunicationPoint& p : history.communication) {
    curve.x.push_back(static_cast<double>(p.step));
    curve.y.push_back(100 * p.lost);
  }
  chart.curves.push_back(curve);
  return chart;
}

Json or_null(double x) {
  return std::isnan(x) ? Json(nullptr) : Json(x);
}

}  // namespace

static std::string hosts_text(const CommunicationPoint& point) {
  return count_text(point.hosts) + (point.hosts == 1 ? " host" : " hosts");
}

std::string communication_text(const RunHistory& history) {
  if (history.communication.empty()) return "";
  const CommunicationPoint& last = history.communication.back();
  std::string text = fmt::format(
      "\ncommunication of step {}: {} ms on {} ranks, {}; lost {}\n  "
      "{:<10}{:>12}{:>14}{:>10}{:>11}{:>10}{:>10}\n",
      last.step, milliseconds(last.seconds), count_text(last.ranks), hosts_text(last), lost_text(last), "", "inside",
      "between", "messages", "transfer", "waiting", "hidden");
  for (const CommunicationRow& row : by_kind(last)) {
    text += fmt::format("  {:<10}{:>12}{:>14}{:>10.0f}{:>11}{:>10}{:>10}\n", row.kind, format_bytes(row.bytes_inside),
                        format_bytes(row.bytes_between), row.messages, milliseconds(row.transfer),
                        milliseconds(row.waiting), milliseconds(row.hidden));
  }
  return text;
}

std::string communication_section(const RunHistory& history) {
  std::string html;
  if (history.timeline) html += plots(draw(*history.timeline));
  if (history.communication.empty()) return html;
  const CommunicationPoint& last = history.communication.back();
  html +=
      fmt::format("<p class=\"sub\">step {}: {} ms on {} ranks, {}, {} lost to communication</p>\n", last.step,
                  milliseconds(last.seconds), count_text(last.ranks), hosts_text(last), escape_markup(lost_text(last)));
  html += table(last);
  if (history.communication.size() > 1) html += plots(draw(std::vector{lost_chart(history)}));
  return html;
}

Json communication_json(const RunHistory& history) {
  Json points = Json::array();
  for (const CommunicationPoint& p : history.communication) {
    Json rows = Json::array();
    for (const CommunicationRow& row : p.rows) {
      rows.push_back({{"kind", row.kind},
                      {"layer", row.layer},
                      {"bytes_inside", row.bytes_inside},
                      {"bytes_between", row.bytes_between},
                      {"messages", row.messages},
                      {"transfer", or_null(row.transfer)},
                      {"waiting", or_null(row.waiting)},
                      {"hidden", or_null(row.hidden)}});
    }
    points.push_back({{"step", p.step},
                      {"ranks", or_null(p.ranks)},
                      {"hosts", or_null(p.hosts)},
                      {"seconds", or_null(p.seconds)},
                      {"lost", or_null(p.lost)},
                      {"rows", rows}});
  }
  return points;
}

}  // namespace moe
