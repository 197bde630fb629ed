#include "core/inspect/comparison_text.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/inspect/comparison_tables.h"

namespace moe {
namespace {

constexpr size_t kColumns = 100;  // width of running text

// Names are left-aligned, numbers right-aligned.
std::string aligned(const ReportTable& table) {
  std::vector<size_t> widths;
  for (const std::string& column : table.columns) widths.push_back(column.size());
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text = fmt::format("{:<{}}", cells[0], widths[0]);
    for (size_t i = 1; i < cells.size(); ++i) text += fmt::format("  {:>{}}", cells[i], widths[i]);
    while (text.ends_with(' ')) text.pop_back();
    return text + "\n";
  };
  std::string text = line(table.columns);
  for (const auto& row : table.rows) text += line(row);
  return text;
}

std::string wrapped(const std::string& text) {
  std::string result, line;
  for (const std::string& word : split(text, ' ')) {
    if (!line.empty() && line.size() + 1 + word.size() > kColumns) {
      result += line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + line + "\n";
}

}  // namespace

std::string comparison_text(const Comparison& c, bool with_measures) {
  std::string text = comparison_headline(c) + "\n\n" + aligned(quality_table(c)) + "\n";
  if (c.configs.size() > 1) text += aligned(evidence_table(c)) + "\n" + aligned(match_table(c)) + "\n";
  if (!c.costs.empty()) text += aligned(speedup_table(c)) + "\n";
  text += aligned(cost_table(c)) + "\n" + aligned(experts_table(c)) + "\n";
  if (with_measures) text += c.measures().empty() ? "no measures\n\n" : aligned(measures_table(c)) + "\n";
  for (const ComparedConfig& config : c.configs) {
    if (const std::string changes = changes_line(config); !changes.empty())
      text += fmt::format("{}: {}\n", config.name, changes);
  }
  if (c.configs.size() > 1) text += "\n";
  const std::vector<Remark> all = remarks(c);
  for (const Remark& remark : all) text += fmt::format("{}: {}\n", remark.label, remark.text);
  return text + (all.empty() ? "" : "\n") + wrapped(reading_help(c));
}

std::string ranking(const Comparison& c) {
  std::vector<const ComparedConfig*> configs;
  for (const ComparedConfig& config : c.configs) configs.push_back(&config);
  const auto quality = [](const ComparedConfig* config) { return config->mean_of(&ComparedRun::quality); };
  std::stable_sort(configs.begin(), configs.end(),
                   [&](const ComparedConfig* a, const ComparedConfig* b) { return quality(a) < quality(b); });
  std::string text;
  for (const ComparedConfig* config : configs) {
    text += fmt::format("{}\t{:.6f}\t{:.0f}\t{:.0f}\n", config->name, quality(config),
                        config->mean_of(&ComparedRun::flops_per_token), config->mean_of(&ComparedRun::parameters));
  }
  return text;
}

}  // namespace moe
