#include "core/study/step_times.h"

#include <fmt/core.h>

#include <csignal>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/base/statistics.h"
#include "core/inspect/compared_run.h"
#include "core/study/child_program.h"

namespace moe {
namespace {

constexpr size_t kRounds = 3;
constexpr int64_t kWarmup = 5;  // steps that touch memory for the first time
constexpr int64_t kSteps = 24;  // of a round, with these

// The median of a round; nothing after a signal.
std::optional<double> time_round(const StudyConfig& config, const std::string& folder, int64_t ranks,
                                 const std::string& seed, std::string& machine) {
  const std::string name = config.name + "-seed" + seed;
  std::filesystem::remove_all(folder + "/" + name);
  std::vector<std::string> command = rank_launcher(ranks);
  command.push_back(program_path("moe-train"));
  const ConfigLayers layers =
      config.layers.with({"seed=" + seed, "folder=" + folder, "name=" + name, fmt::format("train.steps={}", kSteps),
                          "train.time_limit=0", "log.every=1", "evaluate.every=0", "evaluate.tokens=1000",
                          "evaluate.patience=0", "checkpoint.every=0", "checkpoint.keep_best=false", "sample.every=0"});
  for (const std::string& word : layers.arguments()) command.push_back(word);
  command.push_back("--quiet");
  const int code = run_program(command);
  if (StudySignals::received() != 0 || code == 128 + SIGINT || code == 128 + SIGTERM) return std::nullopt;
  if (code != 0) {
    throw Error(static_cast<ExitCode>(code),
                fmt::format("{}: the training that times its steps failed with exit code {}", config.name, code));
  }
  const ComparedRun run = read_compared_run(folder, name, ComparedAt::last);
  machine = run.machine;
  std::vector<double> times;
  for (const TrainPoint& p : run.history.train) {
    if (p.step > kWarmup) times.push_back(p.milliseconds);
  }
  std::filesystem::remove_all(folder + "/" + name);
  return median(times);
}

}  // namespace

std::optional<StepTimes> measure_step_times(const std::vector<StudyConfig>& configs, const std::string& folder,
                                            int64_t ranks, const std::string& seed) {
  StepTimes result;
  std::vector<std::vector<double>> times(configs.size());
  for (size_t round = 0; round < kRounds; ++round) {
    say(fmt::format("timing the steps of {} configurations, round {} of {}", configs.size(), round + 1, kRounds));
    for (size_t i = 0; i < configs.size(); ++i) {
      const size_t chosen = (i + round) % configs.size();
      const auto time = time_round(configs[chosen], folder, ranks, seed, result.machine);
      if (!time) return std::nullopt;
      times[chosen].push_back(*time);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  for (size_t i = 0; i < configs.size(); ++i) {
    std::vector<double> ratios;
    for (size_t round = 0; round < kRounds; ++round) ratios.push_back(times[i][round] / times[0][round]);
    result.milliseconds[configs[i].name] = median(times[i]);
    result.relative[configs[i].name] = median(ratios);
  }
  return result;
}

}  // namespace moe
