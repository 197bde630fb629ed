#include "core/inspect/html_report.h"
#include "core/schedule/schedule.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/log.h"
#include "core/base/units.h"
#include "core/checkpoint/files.h"
#include "core/config/config_writer.h"
#include "core/inspect/communication_report.h"
#include "core/inspect/curriculum_report.h"
#include "core/inspect/heat_map.h"
#include "core/inspect/history_plots.h"
#include "core/inspect/lifecycle_report.h"
#include "core/inspect/markup.h"
#include "core/inspect/modality_report.h"
#include "core/inspect/page.h"
#include "core/inspect/placement_report.h"
#include "core/inspect/specialisation_report.h"

namespace moe {
namespace {

std::string count(int64_t n) {
  return format_count(static_cast<double>(n));
}

std::string tile(const std::string& value, const std::string& label, bool bad = false) {
  return fmt::format("<div class=\"tile\"><b{}>{}</b><span>{}</span></div>\n", bad ? " class=\"bad\"" : "",
                     escape_markup(value), escape_markup(label));
}

std::string tiles(const Inspection& i) {
  std::string html = "<div class=\"tiles\">\n";
  const Metric& metric = metrics().at(i.evaluation.metrics.front());
  html += tile(fmt::format(fmt::runtime(metric.format), metric.factor * metric.value(i.evaluation)),
               fmt::format("{}, {}, now", metric.name, i.split));
  const EvaluationPoint* best = i.history.best();
  if (best && !std::isnan(best->quality)) {
    html += tile(fmt::format("{:.4f}", best->quality),
                 fmt::format("{}, best of the run, at step {}", i.history.judged_by->name, best->step));
  }
  html += tile(count(i.summary.parameters),
               fmt::format("parameters, {} active per token", count(i.summary.active_parameters)));
  html += tile(count(static_cast<int64_t>(i.trained_tokens)), fmt::format("tokens in {} steps", i.step));
  if (!i.layers.empty()) {
    html += tile(fmt::format("{:.2f}", i.max_over_mean()), "largest load over the mean, worst layer",
                 i.max_over_mean() > 2);
    html += tile(fmt::format("{} + {}", i.dead(), i.nearly_dead()), "dead + nearly dead experts",
                 i.dead() + i.nearly_dead() > 0);
  }
  return html + "</div>\n";
}

// The names of the selected members.
std::string names(const ChoiceList<BalanceLoss>& choices) {
  std::vector<std::string> result;
  for (const auto& choice : choices.items()) result.push_back(choice.kind());
  return result.empty() ? "none" : join(result, ", ");
}

// The value of a constant, otherwise the kind of schedule.
std::string in_words(const Choice<Schedule>& scheduled) {
  if (scheduled.kind() != "constant") return scheduled.kind();
  return fmt::format("{}", scheduled.make(Schedule::Setup{})->at(0));
}

std::string essentials(const Inspection& i) {
  const TrainConfig& c = i.config;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"model", fmt::format("{} layers ({}), width {}, {} heads, {}", c.model.layers, join(c.model.arrangement, " "),
                            c.model.d_model, c.model.attention.heads, c.model.activation)},
      {"sample",
       i.sample.vocab > 0
           ? fmt::format("{} tokens, vocabulary {}{}", i.sample.time, i.sample.vocab,
                         c.model.vocab_size > i.sample.vocab ? fmt::format(" in {} rows", c.model.vocab_size) : "")
           : fmt::format("{} tokens, {} classes", i.sample.time, i.sample.classes)},
      {"batch", fmt::format("{} samples, {} tokens", c.train.batch, count(c.train.batch * i.sample.time))},
      {"learning rate", c.train.learning_rate.kind()},
      {"optimizer", options_text(c.optimizer)},
      {"clip_norm", in_words(c.train.clip_norm)},
      {"seed", fmt::format("{}", c.seed)},
      {"trained on", c.data.path},
      {"evaluated on", fmt::format("{}, {}, {:.0f} predictions", i.data, i.split, i.evaluation.tokens)},
      {"figures", join(to_words(i.evaluation), ", ")},
      {"FLOPs", fmt::format("{} per token and training step", format_count(i.summary.flops_per_token))}};
  if (!i.layers.empty()) {
    const std::string shared = c.moe.shared_experts > 0 ? fmt::format(", {} shared{}", c.moe.shared_experts,
                                                                      c.moe.shared_gate ? " with a gate" : "")
                                                        : "";
    rows.insert(rows.begin() + 1, {"experts", fmt::format("{} per layer, {} per token{}", i.experts_in_words(),
                                                          i.experts_per_token, shared)});
    rows.insert(rows.begin() + 2,
                {"routing", fmt::format("{} router, {} strategy", c.moe.router.kind(), c.moe.strategy.kind())});
    rows.insert(rows.begin() + 3, {"capacity", c.moe.capacity.kind()});
    rows.insert(rows.begin() + 4, {"balance losses", names(c.moe.balance)});
  }
  std::string html = "<div class=\"card\"><dl>\n";
  for (const auto& [name, value] : rows) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape_markup(name), escape_markup(value));
  }
  return html + "</dl></div>\n";
}

std::string whole_config(const Inspection& i) {
  TrainConfig config = i.config;
  return fmt::format("<details><summary>Configuration</summary>\n<pre class=\"card scroll\">{}</pre></details>\n",
                     escape_markup(write_yaml(config, false)));
}

std::string layer_overview(const std::vector<LayerStats>& layers) {
  std::vector<std::string> columns = {"layer",        "max / mean",     "min / mean", "cv",
                                      "load entropy", "router entropy", "dead",       "nearly dead"};
  const bool drops = std::any_of(layers.begin(), layers.end(), [](const LayerStats& s) { return s.dropped_share > 0; });
  if (drops) columns.emplace_back("dropped share");
  for (const auto& [name, value] : layers[0].balance) columns.push_back("loss: " + name);
  // Layers may have different measures: a layer that has competed has more than one that has not.
  std::vector<std::string> measures;
  for (const LayerStats& s : layers) {
    for (const auto& measure : s.measures) {
      if (std::find(measures.begin(), measures.end(), measure.first) == measures.end())
        measures.push_back(measure.first);
    }
  }
  columns.insert(columns.end(), measures.begin(), measures.end());
  std::string html = "<div class=\"card scroll\"><table>\n" + header_cells(columns) + "<tbody>\n";
  const auto alarming = [](int64_t n) { return fmt::format("<td{}>{}</td>", n ? " class=\"bad\"" : "", n); };
  for (const LayerStats& s : layers) {
    html +=
        fmt::format("<tr><td>{}</td><td>{:.2f}</td><td>{:.2f}</td><td>{:.3f}</td><td>{:.4f}</td><td>{:.4f}</td>{}{}",
                    s.layer, s.max_over_mean, s.min_over_mean, s.variation, s.load_entropy, s.router_entropy,
                    alarming(s.dead), alarming(s.nearly_dead));
    if (drops) html += fmt::format("<td>{:.2f}%</td>", 100 * s.dropped_share);
    for (const auto& [name, value] : s.balance) html += fmt::format("<td>{:.4f}</td>", value);
    for (const std::string& wanted : measures) {
      const auto found = std::find_if(s.measures.begin(), s.measures.end(),
                                      [&](const auto& measure) { return measure.first == wanted; });
      html += found == s.measures.end() ? "<td>-</td>" : fmt::format("<td>{:.4g}</td>", found->second);
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string expert_table(const LayerStats& s) {
  const auto cell = [](const std::vector<double>& x, size_t e) {
    return x.empty() ? std::string("<td>-</td>") : fmt::format("<td>{:.3f}</td>", x[e]);
  };
  const double largest =
      std::max(1.0 / static_cast<double>(s.load.size()), *std::max_element(s.load.begin(), s.load.end()));
  std::string html = fmt::format("<details><summary>Layer {}</summary>\n<div class=\"card scroll\"><table>\n", s.layer);
  html += header_cells({"expert", "load", "x fair share", "dropped share", "gate weight", "mean probability",
                        "input norm", "output norm", "router row norm"}) +
          "<tbody>\n";
  for (size_t e = 0; e < s.load.size(); ++e) {
    const bool bad = s.relative_load(e) < LayerStats::kNearlyDead;
    html += fmt::format(
        "<tr><td>{}</td><td class=\"share\" "
        "style=\"--part:{:.1f}%\">{:.2f}%</td><td{}>{:.2f}</td><td>{:.2f}%</td><td>{:.2f}%</td><td>{:.2f}%</td>{}{}{}</"
        "tr>\n",
        e, 100 * s.load[e] / largest, 100 * s.load[e], bad ? " class=\"bad\"" : "", s.relative_load(e),
        100 * s.dropped_of(e), 100 * s.importance[e], 100 * s.probability[e], cell(s.norms.input, e),
        cell(s.norms.output, e), cell(s.norms.router, e));
  }
  return html + "</tbody></table></div></details>\n";
}

// Remarks about missing parts of the page, with the reasons.
std::string remarks(const Inspection& i) {
  std::string text;
  if (!i.history.found) text += "No metrics.jsonl: the course of training is not shown. ";
  if (i.history.damaged_lines > 0)
    text += fmt::format("{} damaged line(s) of metrics.jsonl were skipped. ", i.history.damaged_lines);
  if (i.layers.empty()) text += "The model has no MoE layers. ";
  return text;
}

}  // namespace

std::string html_report(const Inspection& i) {
  std::string body = fmt::format("<h1>{}</h1>\n<p class=\"sub\">{} | step {}</p>\n", escape_markup(i.config.name),
                                 escape_markup(i.checkpoint), i.step);
  body += tiles(i) + essentials(i) + whole_config(i);
  if (const std::string text = remarks(i); !text.empty())
    body += fmt::format("<p class=\"sub\">{}</p>\n", escape_markup(text));
  body += section("Training", plots(learning_plots(i)));
  if (!i.layers.empty()) {
    body += section("Experts", figure("Load", "share of the assignments over the fair share",
                                      load_map_legend() + draw_load_map(i.layers), "whole") +
                                   modality_markup(i) + layer_overview(i.layers));
    body += section("Specialisation", specialisation_section(i));
    body += section("Experts by class", class_use_section(i.use));
    body += section("Experts by place in the sample", place_use_section(i.use));
    body += section("Lifecycle of the experts", lifecycle_table(i.history));
    body += section("Experts moved between ranks", placement_table(i.history));
    body += section("Balance over the run", plots(balance_plots(i)));
    const std::string maps = load_plots(i);
    body += section("Load over the run", maps.empty() ? "" : load_over_time_legend() + plots(maps));
    std::string tables;
    for (const LayerStats& s : i.layers) tables += expert_table(s);
    body += section("Every expert", tables);
    body += section("The experts of a text", token_view_markup(i.tokens, "read"));
    body += section("A text that the model writes", token_view_markup(i.written, "written"));
  }
  body += section("Communication", communication_section(i.history));
  const std::string samples = i.curriculum ? curriculum_tables(*i.curriculum) : "";
  body += section("Curriculum", plots(curriculum_plots(i.history)) + samples);
  return whole_page(i.config.name, body);
}

std::string report_path(const std::string& file, bool wanted, const std::string& run_or_checkpoint) {
  namespace fs = std::filesystem;
  if (!file.empty()) return fs::is_directory(file) ? file + "/report.html" : file;
  if (!wanted)
    return fs::is_directory(run_or_checkpoint + "/checkpoints") ? (fs::path(run_or_checkpoint) / "report.html").string()
                                                                : "";
  const std::string run = run_folder_of(run_or_checkpoint);
  if (run.empty()) raise<UsageError>("--html: {} does not belong to a run; give --html FILE", run_or_checkpoint);
  return run + "/report.html";
}

void write_report(const std::string& path, const std::string& page, bool must) {
  try {
    replace_shared_text(path, page);
    log::info("Wrote {}", path);
  } catch (const CheckpointError& error) {
    if (must) throw;
    log::warn("no web page: {}", error.what());
  }
}

}  // namespace moe
