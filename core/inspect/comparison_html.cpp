#include "core/inspect/comparison_html.h"

#include <fmt/core.h>

#include "core/inspect/comparison_plots.h"
#include "core/inspect/comparison_tables.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"

namespace moe {
namespace {

std::string remark_cards(const Comparison& c) {
  std::string alarming, other;
  for (const Remark& remark : remarks(c)) {
    (remark.alarming ? alarming : other) +=
        fmt::format("<p><b{}>{}</b> {}</p>\n", remark.alarming ? " class=\"bad\"" : "", escape_markup(remark.label),
                    escape_markup(remark.text));
  }
  std::string html;
  if (!alarming.empty()) html += "<div class=\"card alarm\">\n" + alarming + "</div>\n";
  if (!other.empty()) html += "<div class=\"card\">\n" + other + "</div>\n";
  return html;
}

std::string change_list(const Comparison& c) {
  std::string rows;
  for (const ComparedConfig& config : c.configs) {
    for (const ConfigDifference& d : config.changes) {
      const bool first = &d == &config.changes.front();
      rows += fmt::format("<tr><td class=\"name\">{}</td><td class=\"name\">{}</td><td>{}</td><td>{}</td></tr>\n",
                          first ? escape_markup(config.name) : "", escape_markup(d.key), escape_markup(d.before),
                          escape_markup(d.after));
    }
  }
  if (rows.empty()) return "";
  return "<div class=\"card scroll\"><table>\n<thead><tr><th class=\"name\">config</th><th class=\"name\">key</th>"
         "<th>baseline</th><th>here</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody></table></div>\n";
}

}  // namespace

std::string comparison_html(const Comparison& c, bool with_measures) {
  const std::string title = "Comparison with " + c.baseline_config().name;
  std::string body = fmt::format("<h1>{}</h1>\n<p class=\"sub\">{} | {}</p>\n", escape_markup(title),
                                 escape_markup(c.folder), escape_markup(comparison_headline(c)));
  if (const std::string answer = comparison_answer(c); !answer.empty())
    body += fmt::format("<p class=\"answer\">{}</p>\n", escape_markup(answer));
  body += plots(difference_plot(c)) + remark_cards(c);
  const ReportTable quality = quality_table(c);
  body += section(quality.title, table_markup(quality));
  if (c.configs.size() > 1) body += section("Evidence", table_markup(evidence_table(c)));
  body += fmt::format("<p class=\"sub\">{}</p>\n", escape_markup(reading_help(c)));
  const ReportTable match = match_table(c);
  body += section("Learning", plots(comparison_curves(c)));
  if (c.configs.size() > 1) body += section(match.title, table_markup(match));
  if (!c.costs.empty()) body += section("Effective speedup", table_markup(speedup_table(c)) + plots(speedup_curve(c)));
  body += section("Cost and experts", plots(table_markup(cost_table(c)) + table_markup(experts_table(c))));
  if (with_measures && !c.measures().empty()) body += section("Measures", table_markup(measures_table(c)));
  body += section("What differs from the baseline", change_list(c));
  return whole_page(title, body);
}

}  // namespace moe
