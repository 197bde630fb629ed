#include "core/inspect/comparison_text.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/inspect/comparison_tables.h"

namespace moe {

std::string comparison_text(const Comparison& c, bool with_measures) {
  std::string text = comparison_headline(c) + "\n\n";
  if (const std::string answer = comparison_answer(c); !answer.empty()) text += wrapped(answer) + "\n";
  text += table_text(quality_table(c)) + "\n";
  if (c.configs.size() > 1) text += table_text(evidence_table(c)) + "\n" + table_text(match_table(c)) + "\n";
  if (!c.costs.empty()) text += table_text(speedup_table(c)) + "\n";
  text += table_text(cost_table(c)) + "\n" + table_text(experts_table(c)) + "\n";
  if (with_measures) text += c.measures().empty() ? "no measures\n\n" : table_text(measures_table(c)) + "\n";
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
