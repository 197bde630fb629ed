// moe-train: trains a sparse mixture-of-experts language model.
#include <algorithm>
#include <csignal>
#include <iostream>

#include "apps/command_line.h"
#include "comm/agreement.h"
#include "comm/peer_watch.h"
#include "core/base/build_info.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/verify.h"
#include "core/config/config_reader.h"
#include "core/config/config_versions.h"
#include "core/config/config_writer.h"
#include "core/config/expand_paths.h"
#include "core/config/flat_values.h"
#include "core/config/input_paths.h"
#include "core/machine/instruction_set.h"
#include "core/machine/kill_watch.h"
#include "core/record/run_folder.h"
#include "core/step/cpu_setup.h"
#include "core/tensor/device.h"
#include "core/train/dry_run.h"
#include "core/train/network_plan.h"
#include "core/train/trainer.h"

using namespace moe;

// What all ranks must be given alike, except for data, of which each host may have its own copy, and cores.
static Facts facts_of(TrainConfig& config) {
  Facts facts{{"program's version", version()}};
  for (const auto& [key, value] : flat_values(config)) {
    if (key.rfind("data.path", 0) != 0 && !key.ends_with("_absolute") && key != "parallel.threads" &&
        key != "parallel.hardware_threads")
      facts.emplace_back(key, value);
  }
  return facts;
}

// Reads the configuration. One that says no version and goes on with a run gets the version of that run, so that the
// same command continues it although the meaning of a key has changed since. Rank 0 decides.
static void read_for_run(ConfigNode& root, TrainConfig& config, Communicator& world) {
  read_config(root, config);
  expand_paths(config);
  require_agreement(world, "the same configuration and program", facts_of(config));
  if (root.find("config_version")) return;
  double version = 0;
  if (world.rank() == 0) version = static_cast<double>(RunFolder(config).config_version().value_or(kConfigVersion));
  world.broadcast(as_tensor(std::span(&version, 1)), 0);
  if (static_cast<int64_t>(version) == kConfigVersion) return;
  if (world.rank() == 0)
    log::info("{} was made with configuration version {}, whose meanings also apply to this configuration",
              shown(config.run_folder()), version);
  apply_override(root, fmt::format("config_version={}", version));
  config = TrainConfig();
  read_config(root, config);
  expand_paths(config);
}

// Throws UsageError for a key that may not be changed, or if nothing is to be resumed.
static ResumeOptions resume_options(const std::string& mode, const std::vector<std::string>& changes) {
  ResumeOptions options{mode == "auto"    ? ResumeMode::automatic
                        : mode == "never" ? ResumeMode::never
                                          : ResumeMode::must,
                        {}};
  if (!changes.empty() && options.mode != ResumeMode::must)
    throw UsageError("--change needs --resume must: it changes how an earlier run goes on");
  for (const std::string& change : changes) {
    const std::string key = change.substr(0, change.find('='));
    if (const auto why = why_fixed(key))
      raise<UsageError>("--change {}: a run cannot go on with another value: {}", key, *why);
    options.changed.push_back(key);
  }
  return options;
}

namespace {

// What the command line asks for.
struct Request {
  std::vector<std::string> files, overrides, changes;
  std::string resume = "auto", help_key, verified;
  int64_t ranks = 0, hosts = 0;
  NetworkPlanOptions plan;
  bool dump_config = false, dump_docs = false, dump_schema = false, dry_run = false, quiet = false, show_build = false;
};

}  // namespace

static void add_options(CommandLine& app, Request& r) {
  app.footer(
      "SIGTERM, SIGINT and SIGUSR1 end a run after the current step and a checkpoint. So does train.time_limit.\n"
      "Send SIGUSR1 to mpirun, which forwards it to the ranks; it kills its ranks a second after the other two.");
  app.add_option("-c,--config", r.files, "YAML configuration; may be repeated, later files override earlier ones")
      .allow_extra_args(false);
  app.add_option("--set", r.overrides, "key=value, for example moe.router.k=1; overrides files")
      .allow_extra_args(false);
  app.add_option(
         "--resume", r.resume,
         "auto: resume from the newest good checkpoint of the run's folder, if it has any; never: fail if it has one; "
         "must: fail if it has none, or if the newest is damaged")
      .one_of({"auto", "never", "must"});
  app.add_option("--change", r.changes,
                 "key=value, with --resume must: go on with another value than the checkpoint's, for example "
                 "train.learning_rate=1e-4; the optimizer's state and the place in the data are kept")
      .allow_extra_args(false);
  app.add_option("--verify", r.verified,
                 "check the content of all checkpoints of this run (or of one checkpoint), print a line for each and "
                 "exit, with 4 if one is damaged");
  app.add_flag("--dry-run", r.dry_run, "print size, cost and memory, and warn about doubtful settings; do not train");
  app.add_option("--ranks", r.ranks, "with --dry-run: number of ranks to plan for");
  app.add_option("--hosts", r.hosts,
                 "with --ranks: the number of hosts that they are on, equally many on each (default: 1)");
  app.add_option(
      "--network", r.plan.network,
      "with --dry-run: predict the step's time on a cluster whose speed this file says (moe-bench measures it), "
      "with and without each setting that changes the time, and name the best setting");
  app.add_option("--imbalance", r.plan.imbalance,
                 "with --network: rows of the busiest rank that shares experts, relative to the mean")
      .capture_default_str()
      .between_numbers(1, 1e6);
  app.add_option(
      "--routing-trace", r.plan.routing_trace,
      "with --network: metrics.jsonl of a run with as many experts, or the folder of a run with routing traces "
      "(trace.every), whose loads take the place of --imbalance");
  app.add_flag("--dump-config", r.dump_config, "print the whole effective configuration with explanations and exit");
  app.add_flag("--dump-docs", r.dump_docs, "print the reference of all keys as Markdown and exit");
  app.add_flag("--dump-schema", r.dump_schema, "print a JSON schema of the configuration for editors and exit");
  app.add_option("--help-key", r.help_key, "print what a key means, for example moe.router.k, and exit");
  app.add_flag("--quiet", r.quiet, "print only warnings on the console");
  app.add_flag("--build-info", r.show_build, "print how this program was built and exit");
}

// The tree of all that the command line names.
static ConfigNode read_request(const Request& r) {
  ConfigNode root;
  root.kind = ConfigNode::Kind::map;
  for (const std::string& file : r.files) {
    ConfigNode node = read_config_file(file);
    if (is_runs_copy(file)) mark_stored(node);  // it means what it meant to its run
    merge_config(root, node);
  }
  for (const std::string& assignment : r.overrides) apply_override(root, assignment);
  for (const std::string& assignment : r.changes) apply_override(root, assignment);
  return root;
}

// The ranks that a dry run plans for.
static RankCounts planned_ranks(const Request& r, const Communicator& world) {
  if (r.plan.network.empty() && !r.plan.routing_trace.empty())
    throw UsageError("--routing-trace is for plans: give --network FILE too");
  if (r.ranks < 0 || r.hosts < 0) throw UsageError("--ranks and --hosts must be positive numbers");
  if (r.hosts > 0 && (r.ranks == 0 || r.ranks % r.hosts != 0)) {
    raise<UsageError>("--hosts {}: give --ranks with a multiple of {}, since the hosts have equally many ranks",
                      r.hosts, r.hosts);
  }
  if (r.ranks == 0) return RankCounts::of(world);
  return {.ranks = r.ranks, .per_host = r.ranks / std::max<int64_t>(r.hosts, 1)};
}

static int train(const TrainConfig& config, const ResumeOptions& resume, MpiSession& session) {
  const bool first = session.world()->rank() == 0;
  // When the output is no longer read, as after a lost connection, messages are dropped and the run goes on.
  std::signal(SIGPIPE, SIG_IGN);
  const CpuSetup cpu =
      setup_cpu(static_cast<int>(config.parallel.threads), config.parallel.hardware_threads, session.local());
  if (first && !cpu.notice.empty()) log::warn("{}", cpu.notice);
  const DeviceChoice device = choose_device(config.device, config.precision, session.local());
  if (first && !device.notice.empty()) log::info("{}", device.notice);
  if (first && !session.notice().empty()) log::warn("{}", session.notice());
  const PeerWatch peers(*session.world(),
                        {.seconds = config.parallel.timeout, .ends_stopped = config.parallel.end_if_stopped});
  // The first two ranks of a host watch, because one of them may be the process that ends.
  std::optional<KillWatch> kills;
  if (session.local().size > 1 && session.local().rank < 2)
    kills.emplace(SystemFiles(), [](const std::string& message) { log::warn("{}", message); });
  return static_cast<int>(Trainer(config, session.world(), cpu, device, resume).run());
}

static int run(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Trains a sparse mixture-of-experts language model. mpirun -n N moe-train -c FILE shares the work among N "
      "ranks.");
  Request r;
  add_options(app, r);
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  const bool first = session.world()->rank() == 0;
  auto print = [&](const std::string& text) {
    if (first) std::cout << text << std::flush;
    return 0;
  };
  if (r.show_build) return print(build_info(cuda::build_description()) + "cpu kernels: " + name_of(instruction_set()) + "\n");
  if (!r.verified.empty()) {
    const bool good = !first || verify_run(r.verified, [&](const std::string& line) { print(shown(line) + "\n"); });
    return static_cast<int>(good ? ExitCode::done : ExitCode::checkpoint);
  }
  TrainConfig config;
  if (r.dump_docs) return print(write_markdown(config));
  if (r.dump_schema) return print(write_json_schema(config));
  if (!r.help_key.empty()) return print(describe_key(config, r.help_key));

  ConfigNode root = read_request(r);
  if (r.dump_config) {
    read_config(root, config);
    return print(write_yaml(config, true));
  }
  if (r.files.empty() && r.overrides.empty())
    throw UsageError("no configuration; give -c FILE (see configs/), or --help");
  read_for_run(root, config, *session.world());
  if (const std::string other = disagreement(*session.world(), {{"build", build_info(cuda::build_description())}}, 1);
      first && !other.empty())
    log::warn("the ranks run different builds of the same commit: {}", other);
  const ResumeOptions resume = resume_options(r.resume, r.changes);
  if (r.quiet) log::quiet_console();
  locate_inputs(config);
  if (r.dry_run) {
    const RankCounts ranks = planned_ranks(r, *session.world());
    return print(shown(describe_dry_run(config, ranks, r.ranks > 0 ? 1 : session.local().size) +
                       describe_network_plan(config, ranks, r.plan)));
  }
  return train(config, resume, session);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return run(argc, argv, session); });
}
