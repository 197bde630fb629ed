#include "core/inspect/ladder_report.h"

#include <fmt/core.h>

#include <cmath>

#include "core/base/build_info.h"
#include "core/base/json.h"
#include "core/base/text.h"
#include "core/inspect/comparison_tables.h"
#include "core/inspect/line_chart.h"
#include "core/inspect/markup.h"
#include "core/inspect/page.h"
#include "core/inspect/report_table.h"

namespace moe {
namespace {

std::string interval(double low, double high, std::string (*text)(double)) {
  return std::isnan(low) || std::isnan(high) ? "-" : fmt::format("[{}, {}]", text(low), text(high));
}
std::string signed_figure(double value) {
  return signed_text(value);
}

ReportTable size_table(const Ladder& ladder) {
  ReportTable table{
      .title = "Sizes",
      .columns = {"size", "operations", "updates", "parameters", "active", "seeds", ladder.judged_by().key},
      .rows = {}};
  for (const LadderSize& size : ladder.sizes) {
    const ComparedConfig& baseline = size.comparison.baseline_config();
    table.rows.push_back(
        {size.name, fmt::format("{:.3g}", size.operations), std::to_string(size.comparison.reference().step),
         count_text(baseline.mean_of(&ComparedRun::parameters)),
         count_text(baseline.mean_of(&ComparedRun::active_parameters)), std::to_string(baseline.runs.size()),
         figure_text(baseline.mean_of(&ComparedRun::quality), 4)});
  }
  return table;
}

ReportTable method_table(const Ladder& ladder) {
  ReportTable table{.title = "Methods at each size",
                    .columns = {"method", "size", ladder.judged_by().key, "difference", "95 % interval", "verdict",
                                "speedup", "95 % interval", ""},
                    .rows = {}};
  for (size_t m = 1; m < ladder.methods.size(); ++m) {
    const LadderMethod& method = ladder.methods[m];
    for (size_t i = 0; i < ladder.sizes.size(); ++i) {
      const LadderMethod::AtSize& at = method.sizes[i];
      table.colours.push_back(m);
      if (!at.config) {
        table.rows.push_back(
            {method.name, ladder.sizes[i].name, "no run that can be compared", "", "", "", "", "", ""});
        continue;
      }
      const PairedDifference& d = at.config->difference;
      table.rows.push_back({method.name, ladder.sizes[i].name,
                            figure_text(at.config->mean_of(&ComparedRun::quality), 4), signed_text(d.mean),
                            interval(d.low(), d.high(), signed_figure), name_of(at.config->verdict.kind),
                            ratio_text(at.speedup.value), interval(at.speedup.low, at.speedup.high, ratio_text),
                            at.speedup.extrapolated ? "beyond the baseline's sizes" : ""});
    }
  }
  return table;
}

ReportTable trend_table(const Ladder& ladder) {
  const bool fitted = ladder.sizes.size() >= kSizesForFit;
  ReportTable table{.title = "Trend with the cost",
                    .columns = {"method", "per tenfold cost", "95 % interval", "seeds", "advantage"},
                    .rows = {}};
  if (fitted) table.columns.insert(table.columns.end(), {"floor", "exponent"});
  for (size_t m = 0; m < ladder.methods.size(); ++m) {
    const LadderMethod& method = ladder.methods[m];
    const PairedDifference& s = method.slope;
    table.colours.push_back(m);
    std::vector<std::string> row =
        m == 0 ? std::vector<std::string>{method.name, "baseline", "", "", ""}
               : std::vector<std::string>{method.name, signed_text(s.mean), interval(s.low(), s.high(), signed_figure),
                                          std::to_string(s.differences.size()), name_of(method.trend)};
    if (fitted) {
      const bool has_curve = method.curve.scale > 0;
      row.push_back(has_curve ? figure_text(method.curve.floor, 3) : "-");
      row.push_back(has_curve ? figure_text(method.curve.exponent, 3) : "-");
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::string help(const Ladder& ladder) {
  std::string text = fmt::format(
      "difference: mean over the shared seeds of {} minus that of {} of the same size; below 0 is better. per tenfold "
      "cost: by how much the difference changes when the baseline's operations grow tenfold, by a line through all "
      "sizes "
      "for each seed, with Student's t interval over the seeds; below 0 the advantage grows.",
      ladder.judged_by().name, ladder.baseline);
  text += ladder.sizes.size() < kSizesForSpeedup
              ? " A speedup needs three sizes."
              : " speedup: the operations with which the baseline, by its curve over the sizes, is as good, over the "
                "method's own, with a bootstrap over the seeds (too narrow for few).";
  text += ladder.sizes.size() < kSizesForFit
              ? " Four sizes show more: a curve for each method."
              : " floor and exponent: of loss = floor + scale * operations^-exponent, one floor for all methods.";
  return text + " A rate that is right for one size may be wrong for another: see scripts/tune.";
}

std::vector<Remark> remarks_of(const Ladder& ladder) {
  std::vector<Remark> result;
  for (const LadderSize& size : ladder.sizes) {
    for (const Remark& remark : remarks(size.comparison))
      result.push_back({remark.label, size.name + ": " + remark.text, remark.alarming});
  }
  return result;
}

// Losses or differences over the operations of the runs.
LineChart chart_of(const Ladder& ladder, const char* title, std::string note, double (*value)(const ComparedConfig&),
                   bool with_fit) {
  LineChart chart{title, std::move(note), "operations of a run"};
  chart.log_x = true;
  for (size_t m = 0; m < ladder.methods.size(); ++m) {
    Curve curve{.name = ladder.methods[m].name, .x = {}, .y = {}, .markers = true};
    for (const LadderMethod::AtSize& at : ladder.methods[m].sizes) {
      if (!at.config) continue;
      curve.x.push_back(at.config->mean_of(&ComparedRun::flops_per_token) * at.config->runs.front()->tokens());
      curve.y.push_back(value(*at.config));
      if (with_fit || m == 0) continue;
      curve.low.push_back(at.config->difference.low());
      curve.high.push_back(at.config->difference.high());
    }
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

std::string charts_of(const Ladder& ladder) {
  const std::string& figure = ladder.judged_by().name;
  return draw({chart_of(
                   ladder, "Quality by size", figure + "; mean over the seeds",
                   [](const ComparedConfig& c) { return c.mean_of(&ComparedRun::quality); }, true),
               chart_of(
                   ladder, "Difference by size", figure + " minus the baseline's, with 95 % interval",
                   [](const ComparedConfig& c) { return c.paired_seeds.empty() ? 0 : c.difference.mean; }, false)});
}

}  // namespace

std::vector<std::string> ladder_answers(const Ladder& ladder) {
  std::vector<std::string> answers;
  for (size_t m = 1; m < ladder.methods.size(); ++m) {
    const LadderMethod& method = ladder.methods[m];
    std::vector<std::string> verdicts;
    for (size_t i = 0; i < ladder.sizes.size(); ++i) {
      if (const ComparedConfig* config = method.sizes[i].config)
        verdicts.push_back(fmt::format("{} at {}", name_of(config->verdict.kind), ladder.sizes[i].name));
    }
    std::string answer = fmt::format("{} against {}: {}", method.name, ladder.baseline, join(verdicts, ", "));
    switch (method.trend) {
      case AdvantageTrend::grows:
        answer += "; its advantage grows with size";
        break;
      case AdvantageTrend::shrinks:
        answer += "; its advantage shrinks with size";
        break;
      case AdvantageTrend::undecided:
        answer += "; whether its advantage changes with size is not decided";
        break;
      case AdvantageTrend::none:
        answer += "; a trend needs two seeds that all sizes have";
        break;
    }
    answers.push_back(answer + ".");
  }
  return answers;
}

std::string ladder_text(const Ladder& ladder) {
  std::string text = fmt::format("Ladder of {} sizes, baseline {}\n\n", ladder.sizes.size(), ladder.baseline);
  for (const std::string& answer : ladder_answers(ladder)) text += wrapped(answer);
  text += "\n" + table_text(size_table(ladder)) + "\n" + table_text(method_table(ladder)) + "\n" +
          table_text(trend_table(ladder)) + "\n";
  const std::vector<Remark> all = remarks_of(ladder);
  for (const Remark& remark : all) text += fmt::format("{}: {}\n", remark.label, remark.text);
  return text + (all.empty() ? "" : "\n") + wrapped(help(ladder));
}

Json ladder_json(const Ladder& ladder) {
  Json sizes = Json::array(), methods = Json::array();
  for (const LadderSize& size : ladder.sizes) {
    const ComparedConfig& baseline = size.comparison.baseline_config();
    sizes.push_back({{"name", size.name},
                     {"operations", size.operations},
                     {"parameters", baseline.mean_of(&ComparedRun::parameters)},
                     {"active_parameters", baseline.mean_of(&ComparedRun::active_parameters)}});
  }
  const auto pair = [](double low, double high) { return std::isnan(low) ? Json(nullptr) : Json{low, high}; };
  for (const LadderMethod& method : ladder.methods) {
    Json at_sizes = Json::array();
    for (size_t i = 0; i < ladder.sizes.size(); ++i) {
      const LadderMethod::AtSize& at = method.sizes[i];
      Json json = {{"size", ladder.sizes[i].name}};
      if (at.config) {
        json[ladder.judged_by().key] = at.config->mean_of(&ComparedRun::quality);
        if (method.name != ladder.baseline) {
          json["difference"] = at.config->difference.mean;
          json["interval"] = pair(at.config->difference.low(), at.config->difference.high());
          json["verdict"] = name_of(at.config->verdict.kind);
          json["speedup"] = {{"operations", at.speedup.value},
                             {"interval", pair(at.speedup.low, at.speedup.high)},
                             {"extrapolated", at.speedup.extrapolated}};
        }
      }
      at_sizes.push_back(std::move(json));
    }
    Json json = {{"name", method.name}, {"sizes", at_sizes}};
    if (method.name != ladder.baseline) {
      json["per_tenfold_cost"] = method.slope.mean;
      json["per_tenfold_cost_interval"] =
          method.slope.has_interval() ? Json{method.slope.low(), method.slope.high()} : Json(nullptr);
      json["advantage"] = name_of(method.trend);
    }
    if (method.curve.scale > 0)
      json["curve"] = {{"floor", method.curve.floor},
                       {"scale", method.curve.scale},
                       {"exponent", method.curve.exponent},
                       {"reference", method.curve.reference}};
    methods.push_back(std::move(json));
  }
  return {{"schema", 1},    {"version", version()}, {"folder", ladder.folder},          {"baseline", ladder.baseline},
          {"sizes", sizes}, {"methods", methods},   {"answers", ladder_answers(ladder)}};
}

std::string ladder_html(const Ladder& ladder) {
  const std::string title = "Ladder with " + ladder.baseline;
  std::string body =
      fmt::format("<h1>{}</h1>\n<p class=\"sub\">{}</p>\n", escape_markup(title), escape_markup(ladder.folder));
  for (const std::string& answer : ladder_answers(ladder))
    body += fmt::format("<p class=\"answer\">{}</p>\n", escape_markup(answer));
  body += plots(charts_of(ladder));
  for (const ReportTable& table : {method_table(ladder), trend_table(ladder), size_table(ladder)})
    body += section(table.title, table_markup(table));
  for (const Remark& remark : remarks_of(ladder))
    body += fmt::format("<p><b{}>{}</b> {}</p>\n", remark.alarming ? " class=\"bad\"" : "", escape_markup(remark.label),
                        escape_markup(remark.text));
  body += fmt::format("<p class=\"sub\">{}</p>\n", escape_markup(help(ladder)));
  return whole_page(title, body);
}

}  // namespace moe
