// moe-eval: computes the loss or accuracy of a trained model. Prints one bare number on standard output, everything
// else on standard error.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/evaluate/evaluator.h"
#include "core/inspect/variation_report.h"
#include "core/reload/load_run.h"
#include "core/step/cpu_setup.h"

using namespace moe;

// The variations to evaluate besides the model as it was trained.
struct Varied {
  std::vector<int64_t> k, experts;
  std::vector<std::string> routers, requests;
  bool knock_out = false;
  std::string html;

  void add_options(CommandLine& app) {
    app.add_option("--k", k, "also evaluate with these numbers of experts per token: a list like 1,2,4").delimiter(',');
    app.add_option("--experts", experts,
                   "also evaluate with only the N busiest experts of each layer, for each N of a list")
        .delimiter(',');
    app.add_option(
           "--router", routers,
           "also evaluate with other routers: ones without learned parameters (random, uniform, hash) or the oracle, "
           "which chooses by the loss itself and takes one evaluation per expert and layer; a list")
        .delimiter(',');
    app.add_option("--vary", requests,
                   "also evaluate with other settings: KEY=V1|V2|..., where KEY is a configuration key");
    app.add_flag("--knock-out", knock_out, "also evaluate without each expert of each layer in turn");
    app.add_option("--html", html, "write a web page that compares the evaluations to this file");
  }
  bool any() const { return !k.empty() || !experts.empty() || !routers.empty() || !requests.empty() || knock_out; }
  bool asks_oracle() const { return std::find(routers.begin(), routers.end(), kOracle) != routers.end(); }
  // Returns one setting per variation.
  std::vector<std::string> settings(const TrainConfig& config) const {
    std::vector<std::string> list;
    for (const int64_t n : k) list.push_back(fmt::format("moe.router.k={}", n));
    for (const std::string& router : routers) {
      if (router != kOracle) list.push_back(router_setting(router, config));
    }
    for (const std::string& request : requests) {
      for (std::string& setting : settings_of(request)) list.push_back(std::move(setting));
    }
    return list;
  }
};

static int evaluate_run(int argc, char** argv, MpiSession& session) {
  CommandLine app("Evaluates a run or a checkpoint and prints one number. mpirun shares the work among ranks.");
  std::string path, which = "last", metric, split = "test", data, device = "auto", precision = "f32";
  EvaluationOptions options{0, 0, 0, 8};
  int64_t expert_parallel = 0;
  int threads = 0;
  bool json = false, probe = false;
  app.add_option("run", path, "folder of a run or of a checkpoint").required();
  app.add_option("--checkpoint", which, "checkpoint of a run: last, best or a step").capture_default_str();
  app.add_option("--metric", metric,
                 "metric to print: " + join(metrics().names(), ", ") + "; default: bpc, for a classifier accuracy");
  app.add_option("--split", split, "train, validation or test").capture_default_str();
  app.add_option("--data", data, "path of other data than the run's");
  app.add_option("--context", options.context, "tokens per window; default: the training length");
  app.add_option("--stride", options.stride,
                 "tokens scored per window, the others only serve as context; default: all");
  app.add_option("--streams", options.streams,
                 "for a model with a context memory: number of parts that the text is cut into and read in parallel; "
                 "default: the run's "
                 "evaluate.streams");
  app.add_option("--tokens", options.tokens, "leading tokens, or labelled samples, of the split; default: all");
  app.add_option("--batch", options.sequences, "windows or samples per forward pass; affects only the speed")
      .capture_default_str()
      .positive();
  app.add_option("--expert-parallel", expert_parallel,
                 "number of ranks that share the experts; default: the largest possible number");
  app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
  add_device_options(app, device, precision);
  app.add_flag("--json", json, "print everything as one JSON object");
  app.add_flag("--probe-causality", probe,
               "also measure whether a token's loss depends on later tokens or on other windows");
  Varied varied;
  varied.add_options(app);
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (!varied.html.empty() && !varied.any())
    throw UsageError("--html needs several evaluations; add --k, --experts, --router, --vary or --knock-out");
  if (!metric.empty()) metrics().at(metric);  // checked before the run is loaded, which may take long
  const bool first = session.world()->rank() == 0;
  setup_cpu(threads, session.local());
  const DeviceChoice on = choose_device(device, precision, session.local());
  const auto load = [&](const std::vector<std::string>& settings) {
    return load_run(path, which, session.world(), expert_parallel, options.sequences, on, settings);
  };
  LoadedRun run = load({});
  const std::unique_ptr<Task> task = run.open_task(data);
  const std::span<const char* const> offered = task->metrics();
  if (metric.empty()) metric = offered.front();
  const Metric& chosen = metrics().at(metric);
  if (std::find(offered.begin(), offered.end(), metric) == offered.end())
    raise<UsageError>("--metric {}: this model has {}", metric,
                      join(std::vector<std::string>(offered.begin(), offered.end()), ", "));
  const auto set = task->evaluation_set(split, options);
  if (varied.any()) {
    const Variations variations(*task, *set, options.sequences);
    std::vector<VariedEvaluation> all{variations.evaluate("as trained", run)};
    for (const int64_t count : varied.experts) {
      if (all.size() > 1) variations.evaluate("as trained", run);  // the next call uses its loads
      all.push_back(variations.with_busiest(run, count));
    }
    if (varied.knock_out) {
      for (VariedEvaluation& e : variations.without_each_expert(run)) all.push_back(std::move(e));
    }
    if (varied.asks_oracle()) {
      all.push_back(variations.in_hindsight(run));
      if (first)
        log::warn("oracle: its experts are chosen by the loss itself, so its results do not measure prediction");
    }
    const std::string checkpoint = run.checkpoint;
    for (const std::string& setting : varied.settings(run.config)) {
      run.state.reset();  // keep only one model in memory
      run = load({setting});
      all.push_back(variations.evaluate(setting, run));
    }
    if (!first) return 0;
    const std::string note = fmt::format("{} | {} split of {} | {:.0f} predictions", checkpoint, split,
                                         task->data_name(), all.front().evaluation.tokens);
    log::info("{}", note);
    std::cout << (json ? json_text(variation_json(all)) + "\n" : variation_text(all)) << std::flush;
    if (!varied.html.empty()) replace_text(varied.html, variation_html(all, "What routing contributes", note));
    return 0;
  }
  Evaluation e = evaluate(*run.state, run.groups, *set, options.sequences);
  e.metrics = offered;
  const Causality causality = run.state->model->causality();
  std::optional<Causality> measured;
  if (probe) measured = task->measure_causality(*run.state, split, options);
  if (metric == "bpb" && !e.raw_bytes) {
    raise<DataError>("{} does not record the byte lengths of its tokens, so bits per byte are unknown",
                     task->data_name());
  }
  if (!first) return 0;
  std::string terms;
  for (const auto& [name, value] : set->terms()) terms += fmt::format(" | {} {}", name, value);
  if (!set->documents().empty()) terms += fmt::format(" | documents {}", set->documents());
  if (e.raw_bytes) terms += fmt::format(" | {} bytes", *e.raw_bytes);
  log::info("{} | {} split of {} | {:.0f} predictions{}", run.checkpoint, split, task->data_name(), e.tokens, terms);
  log::info("{}", join(to_words(e), " | "));
  if (const Causality worst = std::max(causality, measured.value_or(causality));
      worst > models().at(run.config.task).allowed_causality) {
    log::warn("not causal: a token's experts depend on {}. These results do not measure prediction",
              worst == Causality::sequence ? "later tokens of its sequence"
                                           : "the tokens that it is evaluated together with");
  }
  if (measured) log::info("measured causality: {}", name_of(*measured));
  if (!json) {
    std::cout << fmt::format("{:.6f}\n", chosen.value(e));
    return 0;
  }
  nlohmann::ordered_json record = {
      {"checkpoint", run.checkpoint}, {"step", run.step}, {"data", task->data_name()}, {"split", split}};
  for (const auto& [name, value] : set->terms()) record[name] = value;
  if (!set->documents().empty()) record["documents"] = set->documents();
  record["tokens"] = e.tokens;
  if (e.raw_bytes) record["raw_bytes"] = *e.raw_bytes;
  record["causality"] = name_of(causality);
  if (measured) record["measured_causality"] = name_of(*measured);
  for (const char* name : offered) record[name] = metrics().at(name).value(e);
  std::cout << json_text(record) << "\n";
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return evaluate_run(argc, argv, session); });
}
