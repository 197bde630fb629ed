#include "core/inspect/variation_report.h"

#include <algorithm>
#include <array>

#include "core/base/json.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {
namespace {

// The cells of a table row.
using Row = std::array<std::string, 7>;
constexpr const char* kColumns[] = {"evaluated", "", "difference", "experts", "MFLOP/token", "time", "tokens/s"};

const Metric& judged_by(std::span<const VariedEvaluation> evaluations) {
  return metrics().at(evaluations.front().evaluation.metrics.front());
}

double speed(const VariedEvaluation& e) {
  return e.seconds > 0 ? e.evaluation.tokens / e.seconds : 0;
}

std::vector<Row> rows(std::span<const VariedEvaluation> evaluations) {
  const Metric& metric = judged_by(evaluations);
  const VariedEvaluation& first = evaluations.front();
  std::vector<Row> result;
  Row head;
  for (size_t i = 0; i < head.size(); ++i) head[i] = kColumns[i];
  head[1] = metric.name;
  result.push_back(head);
  for (const VariedEvaluation& e : evaluations) {
    const double value = metric.value(e.evaluation), difference = value - metric.value(first.evaluation);
    result.push_back({e.name, fmt::format("{:.4f}", value), &e == &first ? "" : fmt::format("{:+.4f}", difference),
                      fmt::format("{:.2f}", e.experts_per_token), fmt::format("{:.3f}", e.flops_per_token / 1e6),
                      fmt::format("{:.2f}x", e.seconds / first.seconds), fmt::format("{:.0f}", speed(e))});
  }
  return result;
}

constexpr const char* kReading =
    "experts: number whose outputs were computed, mean over tokens and layers; MFLOP/token: of a forward pass, as "
    "executed; "
    "time: of the evaluation, over the first one's, on this machine.";

}  // namespace

std::string variation_text(std::span<const VariedEvaluation> evaluations) {
  const std::vector<Row> table = rows(evaluations);
  std::array<size_t, 7> widths{};
  for (const Row& row : table) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : table) {
    text += fmt::format("{:<{}}", row[0], widths[0]);
    for (size_t i = 1; i < row.size(); ++i) text += fmt::format("  {:>{}}", row[i], widths[i]);
    text += "\n";
  }
  return text + "\n" + kReading + "\n";
}

Json variation_json(std::span<const VariedEvaluation> evaluations) {
  Json list = Json::array();
  for (const VariedEvaluation& e : evaluations) {
    Json record = {{"evaluated", e.name}};
    for (const char* name : e.evaluation.metrics) record[name] = metrics().at(name).value(e.evaluation);
    record["experts_per_token"] = e.experts_per_token;
    record["flops_per_token"] = e.flops_per_token;
    record["seconds"] = e.seconds;
    list.push_back(record);
  }
  return list;
}

std::string variation_html(std::span<const VariedEvaluation> evaluations, const std::string& title,
                           const std::string& note) {
  const Metric& metric = judged_by(evaluations);
  LineChart by_flops{"Against operations", metric.name, "MFLOP per token of a forward pass"},
      by_experts{"Against active experts", metric.name, "experts per token"};
  std::string table = "<table>\n" + header_cells({kColumns[0], metric.name, kColumns[2], kColumns[3], kColumns[4],
                                                  kColumns[5], kColumns[6]});
  const std::vector<Row> cells = rows(evaluations);
  for (size_t i = 0; i < evaluations.size(); ++i) {
    const VariedEvaluation& e = evaluations[i];
    const double value = metric.value(e.evaluation);
    by_flops.curves.push_back({e.name, {e.flops_per_token / 1e6}, {value}, true});
    by_experts.curves.push_back({e.name, {e.experts_per_token}, {value}, true});
    table += "<tr>";
    for (const std::string& cell : cells[i + 1]) table += "<td>" + escape_markup(cell) + "</td>";
    table += "</tr>\n";
  }
  table += "</table>\n<p>" + std::string(kReading) + "</p>\n";
  // With many knocked-out experts only the table is readable, so there is no plot.
  constexpr size_t kMostPoints = 12;
  const std::string figures = evaluations.size() <= kMostPoints ? plots(draw({by_flops, by_experts})) : "";
  return whole_page(title, "<h1>" + escape_markup(title) + "</h1>\n<p>" + escape_markup(note) + "</p>\n" +
                               section("Figures", table) + section("Pictures", figures));
}

}  // namespace moe
