// moe-inspect: reports the expert utilisation of a run or checkpoint as a table, as JSON and as a web page.
// Subcommands: `moe-inspect compare` compares whole runs, `moe-inspect ladder` at several sizes; `moe-inspect
// curriculum`; `moe-inspect gradients`; `moe-inspect trace`; `moe-inspect watch`.
#include <filesystem>
#include <iostream>
#include <string_view>

#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/checkpoint/files.h"
#include "core/inspect/comparison_csv.h"
#include "core/inspect/comparison_html.h"
#include "core/inspect/comparison_json.h"
#include "core/inspect/comparison_tables.h"
#include "core/inspect/comparison_text.h"
#include "core/inspect/curriculum_report.h"
#include "core/inspect/gradient_variance.h"
#include "core/inspect/html_report.h"
#include "core/inspect/json_report.h"
#include "core/inspect/ladder_report.h"
#include "core/inspect/text_report.h"
#include "core/inspect/trace_report.h"
#include "core/inspect/watch_loop.h"
#include "core/record/run_folder.h"
#include "core/step/cpu_setup.h"

using namespace moe;

static int inspect_run(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Shows how the experts of a run or checkpoint process a split's tokens. For a run it also writes "
      "report.html. "
      "mpirun shares the work among ranks.");
  app.footer(
      "moe-inspect compare DIR compares the runs in a folder, moe-inspect curriculum RUN reports on a run's "
      "curriculum, "
      "moe-inspect gradients RUN measures the variance of its batches' gradients, moe-inspect ladder DIR compares "
      "methods at several sizes, moe-inspect trace RUN shows the routing of its tokens, moe-inspect watch RUN follows "
      "a "
      "run; see their --help.");
  std::string path, which = "last", html, device = "auto", precision = "run";
  InspectionOptions options;
  int64_t expert_parallel = 0;
  int threads = 0;
  bool json = false, no_html = false;
  app.add_option("run", path, "folder of a run or of a checkpoint").required();
  app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
  app.add_option("--split", options.split, "train, validation or test").capture_default_str();
  app.add_option("--data", options.data, "path of another corpus than the run's");
  app.add_option("--tokens", options.tokens, "number of leading tokens of the split; 0 = all")
      .capture_default_str()
      .not_negative();
  app.add_option("--against", options.against,
                 "an earlier checkpoint, in the form of --checkpoint, or another run's folder: adds each layer's "
                 "churn, the share of choices that the earlier model did not make");
  app.add_option("--expert-parallel", expert_parallel,
                 "number of ranks that share the experts; default: the largest possible number");
  app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
  add_device_options(app, device, precision);
  app.add_flag("--json", json, "print everything as one JSON object instead of the table");
  const CommandOption html_option =
      app.add_option("--html", html, "file of the web page; default: report.html in the run's folder").expected(0, 1);
  app.add_flag("--no-html", no_html, "do not write a web page").excludes("--html");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  const bool wants_html = html_option.count() > 0;
  const std::string page = no_html ? "" : report_path(html, wants_html, path);
  setup_cpu(threads, false, session.local());
  const PeerWatch peers(*session.world());
  const DeviceChoice on = choose_device_for(path, which, device, precision, session.local());
  LoadedRun run = load_run(path, which, session.world(), expert_parallel, kInspectionSequences, on);
  const Inspection inspection = inspect(run, path, options);
  if (session.world()->rank() != 0) return 0;
  if (inspection.history.damaged_lines > 0) {
    log::warn("skipped {} damaged line(s) of {}/metrics.jsonl", inspection.history.damaged_lines, inspection.run);
  }
  std::cout << (json ? json_text_replacing(json_report(inspection)) + "\n" : text_report(inspection, wants_colour()))
            << std::flush;
  if (!page.empty()) write_report(page, html_report(inspection), wants_html);
  return 0;
}

static int show_curriculum(int argc, char** argv, MpiSession& session) {
  CommandLine app("Reports on a run's curriculum and the measured difficulty of its samples.",
                  "moe-inspect curriculum");
  std::string path, which = "last";
  int64_t count = 5;
  bool json = false;
  app.add_option("run", path, "folder of a run or of a checkpoint").required();
  app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
  app.add_option("--samples", count, "number of easiest and of hardest samples to list")
      .capture_default_str()
      .not_negative();
  app.add_flag("--json", json, "print everything as one JSON object");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (session.world()->rank() != 0) return 0;
  const std::string checkpoint = find_checkpoint(path, which), run = run_folder_of(path);
  const auto stats = curriculum_stats(checkpoint, load_run_config(checkpoint), count);
  const RunHistory history = run.empty() ? RunHistory() : read_history(run + "/metrics.jsonl");
  const std::string text = curriculum_text(stats, history);
  if (text.empty()) {
    raise<CheckpointError>(
        "{} has no difficulty store: it was trained without curriculum.signals and with a sampler that needs none",
        checkpoint);
  }
  std::cout << (json ? json_text_replacing(curriculum_json(stats, history)) + "\n" : text) << std::flush;
  return 0;
}

static int show_gradients(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Measures the variance of a batch's gradient at a checkpoint, with the run's sampler and with uniform sampling. "
      "mpirun shares the work among ranks.",
      "moe-inspect gradients");
  std::string path, which = "last", data, device = "auto", precision = "run";
  int64_t batches = 16;
  int threads = 0;
  bool json = false;
  app.add_option("run", path, "folder of a run or of a checkpoint").required();
  app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
  app.add_option("--batches", batches, "number of batches drawn by each sampler")
      .capture_default_str()
      .between(int64_t{2}, int64_t{1} << 20);
  app.add_option("--data", data, "current path of the run's data");
  app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
  add_device_options(app, device, precision);
  app.add_flag("--json", json, "print everything as one JSON object");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  setup_cpu(threads, false, session.local());
  const PeerWatch peers(*session.world());
  const DeviceChoice on = choose_device_for(path, which, device, precision, session.local());
  const GradientVarianceReport report = gradient_variance(path, which, batches, data, session.world(), on);
  if (session.world()->rank() != 0) return 0;
  std::cout << (json ? json_text_replacing(to_json(report)) + "\n" : to_words(report)) << std::flush;
  return 0;
}

static int show_trace(int argc, char** argv, MpiSession& session) {
  CommandLine app("Shows the routing of a step that a run traced (trace.every), token by token.", "moe-inspect trace");
  std::string run, of, by = "token", csv;
  int64_t step = -1, block = -1;
  TraceReportOptions options;
  app.add_option("run", run, "folder of a run").required();
  const CommandOption step_option =
      app.add_option("--step", step, "step whose trace is shown; default: the last one that was traced").not_negative();
  app.add_option("--of", of, "traces of training or of validation; default: of training if there are any")
      .one_of({"training", "validation"});
  app.add_option(
         "--by", by,
         "token = each token and its experts with their weights; id = the experts' shares of the choices of each "
         "token id; position = their shares at each position of the samples")
      .capture_default_str()
      .one_of({"token", "id", "position"});
  const CommandOption layer_option =
      app.add_option("--layer", block, "index of the only block to show; default: all MoE blocks").not_negative();
  app.add_option("--rows", options.rows, "most rows of a table; 0 = all").capture_default_str().not_negative();
  app.add_option("--csv", csv, "write all rows to this file instead, as comma-separated values");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (session.world()->rank() != 0) return 0;
  options.by = by == "id" ? TraceTable::ids : by == "position" ? TraceTable::positions : TraceTable::tokens;
  if (layer_option.count() > 0) options.block = block;
  const StepTrace trace = load_trace(run, of, step_option.count() > 0 ? std::optional(step) : std::nullopt);
  const TokenText text = token_text_of(run);
  if (csv.empty()) {
    std::cout << trace_text(trace, text, options) << std::flush;
  } else {
    replace_shared_text(csv, trace_csv(trace, text, options));
    log::info("Wrote {}", csv);
  }
  return 0;
}

// Runs whose comparison would be unfair are an error only after everything is printed, because the rest is useful.
static int compare(int argc, char** argv, MpiSession& session) {
  CommandLine app("Compares the runs in a folder, paired by seed (scripts/compare makes them).", "moe-inspect compare");
  std::string folder, at = "last", json, csv, html;
  ComparisonOptions options;
  bool measures = false, rank = false;
  app.add_option("folder", folder, "folder whose runs are named CONFIG-seedN").required();
  app.add_option("--baseline", options.baseline, "name of the baseline configuration; default: the first");
  app.add_option("--at", at, "evaluation that is compared; choosing the best of many favours runs with a high variance")
      .capture_default_str()
      .one_of({"last", "best"});
  app.add_option(
         "--margin", options.margin,
         "difference that does not matter: below it, configurations are called equivalent (two one-sided tests)")
      .not_negative();
  app.add_flag("--measures", measures, "also show the measures that routers and strategies report");
  app.add_flag(
      "--rank", rank,
      "instead of tables print one line per configuration, the best first: name, mean quality, FLOPs per token "
      "and parameters, separated by tabs");
  app.add_option("--json", json, "write everything to this file as one JSON object");
  app.add_option("--csv", csv, "write a table of all runs to this file, as comma-separated values");
  app.add_option("--html", html, "write a web page to this file");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (session.world()->rank() != 0) return 0;
  options.at = at == "last" ? ComparedAt::last : ComparedAt::best;
  const Comparison comparison = compare_folder(folder, options);
  std::cout << (rank ? ranking(comparison) : comparison_text(comparison, measures)) << std::flush;
  // The lines of a ranking are for programs and say nothing of the runs that are not in it.
  for (const Remark& remark : remarks(comparison)) {
    if (rank && remark.alarming) log::warn("{}: {}", remark.label, remark.text);
  }
  if (!json.empty()) {
    replace_shared_text(json, json_text_replacing(comparison_json(comparison), 1) + "\n");
    log::info("Wrote {}", json);
  }
  if (!csv.empty()) {
    replace_shared_text(csv, comparison_csv(comparison));
    log::info("Wrote {}", csv);
  }
  if (!html.empty()) write_report(html, comparison_html(comparison, measures), true);
  const auto unfair = comparison.with(ComparedRun::Standing::unfair);
  if (!unfair.empty()) {
    std::vector<std::string> names;
    for (const ComparedRun* run : unfair) names.push_back(run->name);
    raise<CheckpointError>("the comparison would be unfair for {} run{}, which {} left out: {}", unfair.size(),
                           unfair.size() == 1 ? "" : "s", unfair.size() == 1 ? "was" : "were", join(names, ", "));
  }
  return 0;
}

static int show_ladder(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Compares methods at several sizes, from a folder with one comparison for each (scripts/ladder makes them).",
      "moe-inspect ladder");
  std::string folder, json, html;
  ComparisonOptions options;
  app.add_option("folder", folder, "folder of folders whose runs are named CONFIG-seedN").required();
  app.add_option("--baseline", options.baseline, "name of the baseline configuration; default: the first");
  app.add_option("--margin", options.margin, "difference that does not matter, at each size").not_negative();
  app.add_option("--json", json, "write everything to this file as one JSON object");
  app.add_option("--html", html, "write a web page to this file");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (session.world()->rank() != 0) return 0;
  const Ladder ladder = read_ladder(folder, options);
  std::cout << ladder_text(ladder) << std::flush;
  if (!json.empty()) {
    replace_shared_text(json, json_text_replacing(ladder_json(ladder), 1) + "\n");
    log::info("Wrote {}", json);
  }
  if (!html.empty()) write_report(html, ladder_html(ladder), true);
  return 0;
}

static int watch(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Shows a run that is being trained, again and again until it is over: progress, curves, loads of the experts.",
      "moe-inspect watch");
  std::string folder;
  double every = 2;
  bool once = false;
  app.add_option("run", folder, "folder of a run").required();
  app.add_option("--every", every, "seconds between two looks").capture_default_str().between_numbers(0.1, 3600);
  app.add_flag("--once", once, "look once; also when standard output is not a terminal");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (session.world()->rank() != 0) return 0;
  watch_run(folder, every, once);
  return 0;
}

struct Command {
  std::string_view name;
  int (*run)(int argc, char** argv, MpiSession& session);
};
static constexpr Command kCommands[] = {{"compare", compare},          {"curriculum", show_curriculum},
                                        {"gradients", show_gradients}, {"ladder", show_ladder},
                                        {"trace", show_trace},         {"watch", watch}};

int main(int argc, char** argv) {
  for (const Command& command : kCommands) {
    // A single argument may be the name of a run's folder.
    if (argc < 2 || argv[1] != command.name || (argc == 2 && std::filesystem::is_directory(command.name))) continue;
    return run_program(argc, argv, [&](MpiSession& session) { return command.run(argc - 1, argv + 1, session); });
  }
  return run_program(argc, argv, [&](MpiSession& session) { return inspect_run(argc, argv, session); });
}
