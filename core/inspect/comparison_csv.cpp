#include "core/inspect/comparison_csv.h"

#include <fmt/core.h>

#include <cmath>
#include <vector>

#include "core/base/text.h"

namespace moe {
namespace {

std::string field(double value) {
  return std::isnan(value) ? "" : fmt::format("{:.10g}", value);
}

}  // namespace

std::string comparison_csv(const Comparison& c) {
  std::vector<std::string> columns{"name", "config", "seed", "standing", "reason", "step", c.judged_by().key};
  for (const RunFigure& figure : kRunFigures) columns.emplace_back(figure.name);
  const std::vector<std::string> measures = c.measures();
  for (const std::string& name : measures) columns.push_back(csv_field(name));
  std::string text = join(columns, ",") + "\r\n";
  for (const ComparedRun& run : c.runs) {
    std::vector<std::string> fields{csv_field(run.name),   csv_field(run.config), std::to_string(run.seed),
                                    name_of(run.standing), csv_field(run.reason), std::to_string(run.step),
                                    field(run.quality)};
    for (const RunFigure& figure : kRunFigures) fields.push_back(field(run.*figure.value));
    for (const std::string& name : measures) {
      const auto it = run.measures.find(name);
      fields.push_back(it == run.measures.end() ? "" : field(it->second));
    }
    text += join(fields, ",") + "\r\n";
  }
  return text;
}

}  // namespace moe
