// moe-eval: the loss of a trained model. One bare number on standard output, all else on standard error.
#include <iostream>
#include <nlohmann/json.hpp>

#include "apps/command_line.h"
#include "core/base/log.h"
#include "core/train/cpu_setup.h"
#include "core/train/evaluator.h"
#include "core/train/load_run.h"
#include "core/train/measure_causality.h"
#include "core/train/open_corpus.h"

using namespace moe;

static int evaluate_run(int argc, char** argv, MpiSession& session) {
  CLI::App app("Evaluates a run or a checkpoint and prints one number. mpirun shares the work among ranks.");
  std::string path, which = "last", metric = "bpc", split = "test", data, device = "auto", precision = "f32";
  EvaluationOptions options{0, 0, 0, 8};
  int64_t expert_parallel = 0;
  int threads = 0;
  bool json = false, probe = false;
  app.add_option("run", path, "a run's folder or a checkpoint's")->required();
  app.add_option("--checkpoint", which, "of a run: last, best or a step")->capture_default_str();
  app.add_option("--metric", metric, "what to print: " + join(metrics().names(), ", "))->capture_default_str();
  app.add_option("--split", split, "train, validation or test")->capture_default_str();
  app.add_option("--data", data, "another corpus than the run's");
  app.add_option("--context", options.context, "tokens per window; default: as in training");
  app.add_option("--stride", options.stride, "tokens scored per window, the others are context; default: all");
  app.add_option("--tokens", options.tokens, "leading tokens of the split; default: all");
  app.add_option("--batch", options.sequences, "windows at a time; changes nothing but speed")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--expert-parallel", expert_parallel, "ranks that share the experts; default: as many as can");
  app.add_option("--threads", threads, "per rank; default: cores / ranks");
  add_device_options(app, device, precision);
  app.add_flag("--json", json, "print everything as one JSON object");
  app.add_flag("--probe-causality", probe,
               "also find out by trial whether a token's loss depends on later tokens or on other windows");
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  const Metric& chosen = metrics().at(metric);
  const bool first = session.world()->rank() == 0;
  setup_cpu(threads, session.local());
  const DeviceChoice on = choose_device(device, precision, session.local());
  LoadedRun run = load_run(path, which, session.world(), expert_parallel, options.sequences, on);
  if (!data.empty()) run.config.data.path = data;
  const Corpus corpus = open_corpus(run.config.data, *run.tokenizer);
  if (options.context == 0) options.context = run.config.data.sequence;
  if (options.context > run.config.data.sequence) {
    raise<UsageError>("--context {}: the model was trained on {} tokens", options.context, run.config.data.sequence);
  }
  if (options.stride == 0) options.stride = options.context;
  const Evaluation e = evaluate(*run.state, run.groups, corpus.split(split), options);
  const Causality causality = run.state->model->causality();
  std::optional<Causality> measured;
  if (probe) measured = measure_causality(*run.state, corpus.split(split), options.context, options.sequences);
  if (metric == "bpb" && !e.bytes_per_token)
    raise<DataError>("{} does not say how many bytes its tokens stand for: bits per byte are unknown", corpus.name());
  if (!first) return 0;
  log::info("{} | {} split of {} | {:.0f} tokens | context {} stride {}", run.checkpoint, split, corpus.name(),
            e.tokens, options.context, options.stride);
  log::info("bpc {:.4f} | nll {:.4f} nats per token | ppl {:.3f} | bpb {:.4f} | accuracy {:.2f}%",
            e.bits_per_character(), e.nll(), e.perplexity(), e.bits_per_byte(), 100 * e.accuracy());
  if (const Causality worst = std::max(causality, measured.value_or(causality)); worst != Causality::causal) {
    log::warn("not causal: a token's experts depend on {}. These figures do not measure prediction",
              worst == Causality::sequence ? "later tokens of its sequence"
                                           : "the tokens that it is evaluated together with");
  }
  if (measured) log::info("causality found by trial: {}", name_of(*measured));
  if (!json) {
    std::cout << fmt::format("{:.6f}\n", chosen.value(e));
    return 0;
  }
  nlohmann::ordered_json record = {{"checkpoint", run.checkpoint}, {"step", run.step},
                                   {"data", corpus.name()},        {"split", split},
                                   {"context", options.context},   {"stride", options.stride},
                                   {"tokens", e.tokens},           {"causality", name_of(causality)}};
  if (measured) record["measured_causality"] = name_of(*measured);
  for (const Metric& m : metrics()) record[m.name] = m.value(e);
  std::cout << record.dump() << "\n";
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return evaluate_run(argc, argv, session); });
}
