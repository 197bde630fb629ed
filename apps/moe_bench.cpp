// moe-bench: measures the time of a training step, of single ops and of writing text, and prints JSON lines.
#include <iostream>

#include "apps/command_line.h"
#include "core/bench/bench_communication.h"
#include "core/bench/bench_curriculum.h"
#include "core/bench/bench_ops.h"
#include "core/bench/bench_step.h"
#include "core/bench/parallel_regions.h"
#include "core/config/config_reader.h"
#include "core/generate/bench_generate.h"
#include "core/reload/load_run.h"
#include "core/step/cpu_setup.h"

using namespace moe;

static constexpr int64_t kMost = 1'000'000'000;  // steps

namespace {

// What the command line asks for.
struct Request {
  std::vector<std::string> files, overrides;
  BenchOptions step;
  std::string device = "auto", precision = "auto", compute = "real";
  OpBenchOptions ops;
  CurriculumBenchOptions curriculum;
  CommunicationBenchOptions communication;
  GenerateBenchOptions generate;
  std::string run;
  int threads = 0;
};

}  // namespace

static CommandLine add_step(CommandLine& app, Request& r) {
  CommandLine step = app.add_subcommand("step", "measure whole training steps: forward, backward, optimizer");
  step.add_option("-c,--config", r.files, "YAML configuration").required().allow_extra_args(false);
  step.add_option("--set", r.overrides, "key=value").allow_extra_args(false);
  step.add_option("--steps", r.step.steps, "number of measured steps").capture_default_str().between(1, kMost);
  step.add_option("--warmup", r.step.warmup, "number of steps before the measured ones")
      .capture_default_str()
      .between(0, kMost);
  step.add_option(
      "--network", r.step.network,
      "with one rank: the YAML file to which the speed of the model's parts is written, for moe-train --dry-run "
      "--network; with --compute timed: the file that says how long they take");
  step.add_option(
          "--compute", r.compute,
          "real, or timed: attention, feed-forward layers, experts, head and update wait as long as --network says, "
          "so that many ranks run on few cores; results are then meaningless")
      .one_of({"real", "timed"});
  step.add_option("--slower", r.step.slower, "with --compute timed: factor by which they wait longer")
      .capture_default_str()
      .between_numbers(0.001, 1e6);
  step.add_option("--vocab", r.step.vocab, "vocabulary").capture_default_str().between(1, 1 << 24);
  return step;
}

static CommandLine add_ops(CommandLine& app, Request& r) {
  CommandLine op = app.add_subcommand("ops", "measure single ops at the shapes of training steps");
  op.add_option("--device", r.device, "auto, cpu or cuda").capture_default_str();
  op.add_option("--precision", r.precision, "auto, f32 or bf16").capture_default_str();
  op.add_option("--only", r.ops.only, "measure only ops whose name contains this text, or one of several with commas");
  op.add_option("--who", r.ops.who, "label of the printed rows").capture_default_str();
  op.add_option("--shrink", r.ops.shrink, "factor by which the sizes are divided")
      .capture_default_str()
      .between_numbers(0.01, 1e6);
  op.add_option("--seconds", r.ops.seconds, "duration of one measurement in seconds")
      .capture_default_str()
      .between_numbers(1e-6, 3600);
  return op;
}

static CommandLine add_curriculum(CommandLine& app, Request& r) {
  CurriculumBenchOptions& c = r.curriculum;
  CommandLine draws =
      app.add_subcommand("curriculum", "measure drawing samples by difficulty and updating the difficulty store");
  draws.add_option("--samples", c.samples, "number of samples in the simulated data set")
      .capture_default_str()
      .between(1, int64_t{1} << 31);
  draws.add_option("--batch", c.batch, "samples per step").capture_default_str().between(1, 1 << 24);
  draws.add_option("--steps", c.steps, "number of measured steps").capture_default_str().between(1, kMost);
  draws.add_option("--seen", c.seen, "share of the samples that have been seen before the measurement")
      .capture_default_str()
      .between_numbers(0, 1);
  draws.add_option("--only", c.only, "measure only cases whose name contains this text");
  return draws;
}

static CommandLine add_communication(CommandLine& app, Request& r) {
  CommandLine links = app.add_subcommand("communication", "measure collectives between the ranks of this job");
  links.add_option("--most", r.communication.most, "bytes that a rank sends in the largest measurement")
      .capture_default_str()
      .between(4096, int64_t{1} << 30);
  links.add_option("--network", r.communication.network,
                   "the YAML file to which the speed of the links is written, for moe-train --dry-run --network");
  links.add_option("--seconds", r.communication.seconds, "duration of one measurement in seconds")
      .capture_default_str()
      .between_numbers(1e-6, 3600);
  return links;
}

static CommandLine add_generate(CommandLine& app, Request& r) {
  GenerateBenchOptions& g = r.generate;
  CommandLine writes = app.add_subcommand("generate", "measure reading a prompt and writing text with a trained model");
  writes.add_option("run", r.run, "folder of a run or of a checkpoint").required();
  writes.add_option("--prompt", g.prompt, "tokens of the prompt").capture_default_str().between(1, kMost);
  writes.add_option("--tokens", g.tokens, "tokens that are written").capture_default_str().between(1, kMost);
  writes.add_option("--texts", g.texts, "texts at a time").capture_default_str().between(1, 1 << 16);
  writes.add_option("--rounds", g.rounds, "measurements, of which the medians are printed")
      .capture_default_str()
      .between(1, kMost);
  writes.add_option("--threads", r.threads, "threads; default: all cores");
  writes.add_option("--device", r.device, "auto, cpu or cuda").capture_default_str();
  writes.add_option("--precision", r.precision, "auto, run, f32 or bf16").capture_default_str();
  return writes;
}

static int bench(int argc, char** argv, MpiSession& session) {
  CommandLine app("Measures training steps, single ops and curriculum sampling on random data.");
  app.require_subcommand();
  Request r;
  add_step(app, r);
  const CommandLine op = add_ops(app, r), draws = add_curriculum(app, r), links = add_communication(app, r),
                    writes = add_generate(app, r);
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  if (op.parsed()) {
    setup_cpu(0, false, session.local());
    bench_ops(choose_device(r.device, r.precision, session.local()), r.ops,
              [](const std::string& line) { std::cout << line << std::endl; });
    return 0;
  }
  if (writes.parsed()) {
    const CpuSetup cpu = setup_cpu(r.threads, false, session.local());
    LoadedRun run = load_run(r.run, "last", session.world(), 0, 1,
                             choose_device_for(r.run, "last", r.device, r.precision, session.local()));
    const std::string line = bench_generate(*run.state, run.config.data.sequence, r.generate, cpu.threads);
    if (session.world()->rank() == 0) std::cout << line << std::endl;
    return 0;
  }
  if (links.parsed()) {
    if (session.world()->size() == 1)
      throw UsageError("communication is between ranks, and there is only one; start this with mpirun -n 2 or more");
    setup_cpu(0, false, session.local());
    bench_communication(*session.world(), r.communication,
                        [](const std::string& line) { std::cout << line << std::endl; });
    return 0;
  }
  if (draws.parsed()) {
    bench_curriculum(r.curriculum, [](const std::string& line) { std::cout << line << std::endl; });
    return 0;
  }
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& file : r.files) merge_config(root, read_config_file(file));
  for (const std::string& assignment : r.overrides) apply_override(root, assignment);
  TrainConfig config;
  read_config(root, config);
  const CpuSetup cpu =
      setup_cpu(static_cast<int>(config.parallel.threads), config.parallel.hardware_threads, session.local());
  const DeviceChoice device = choose_device(config.device, config.precision, session.local());
  r.step.regions = region_counts;
  r.step.timed = r.compute == "timed";
  if (r.step.timed && (r.step.network.empty() || device.device != Device::cpu))
    throw UsageError("--compute timed needs --network FILE, and device: cpu");
  const std::string line = bench_step(config, session.world(), cpu.threads, device, r.step);
  if (session.world()->rank() == 0) std::cout << line << "\n";
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return bench(argc, argv, session); });
}
