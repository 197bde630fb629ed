#include "tests/apps/fault_walk.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/base/json_text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"

namespace moe {
namespace fs = std::filesystem;
namespace {

// What is injected into a run.
struct Fault {
  int64_t call = 0;  // 0: nothing is, calls are counted
  std::string kind{};
  int rank = 0;
  bool lasts = false;
};

class Walker {
 public:
  explicit Walker(const FaultWalk& walk) : walk_(walk) {
    const Finished straight = run_child(command(straight_.path()));
    if (straight.code != 0) throw std::runtime_error("the run without a fault ends otherwise: " + straight.err);
  }

  // The numbers of the calls that are tried, of those that a rank makes in a whole run.
  std::vector<int64_t> calls(int rank) const {
    const TemporaryFolder folder;
    const std::string log = folder / "calls";
    run_child(command(folder.path(), {.rank = rank}, log));
    std::istringstream text(read_file(log));
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    std::vector<int64_t> numbers;
    for (size_t i = 0; i < lines.size(); ++i) {
      const bool within = i > 0 && i + 1 < lines.size() && lines[i - 1] == lines[i] && lines[i + 1] == lines[i];
      if (walk_.all || !within) numbers.push_back(static_cast<int64_t>(i) + 1);
    }
    return numbers;
  }

  void try_fault(const Fault& fault, FaultOutcome& outcome) const {
    const TemporaryFolder folder;
    const Finished hit = run_child(command(folder.path(), fault));
    ++outcome.trials;
    const std::string name =
        "rank " + std::to_string(fault.rank) + ", call " + std::to_string(fault.call) + ", " + fault.kind + ": ";
    note_end(hit, fault, name, outcome);
    note_recovery(folder.path(), name, outcome);
  }

  void kill_after(std::chrono::microseconds time, FaultOutcome& outcome) const {
    const TemporaryFolder folder;
    {
      ChildProcess child(command(folder.path()));
      std::this_thread::sleep_for(time);
      if (walk_.ranks > 1) {  // which are in groups of their own
        for (const pid_t rank : child.children()) ::kill(rank, SIGKILL);
      }
      ::kill(-child.pid(), SIGKILL);
      child.wait();
    }
    ++outcome.trials;
    ++outcome.killed;
    note_recovery(folder.path(), "killed after " + std::to_string(time.count()) + " us: ", outcome);
  }

  std::chrono::microseconds time_of_a_run() const {
    const TemporaryFolder folder;
    const auto begin = std::chrono::steady_clock::now();
    run_child(command(folder.path()));
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  }

 private:
  Arguments command(const std::string& folder) const {
    const Arguments train = tiny_train(folder, walk_.settings);
    return walk_.ranks > 1 ? mpirun(walk_.ranks) + train : train;
  }
  // The same with the library, which the shells and daemons in between do not load.
  Arguments command(const std::string& folder, const Fault& fault, const std::string& log = "") const {
    Arguments environment{"/usr/bin/env", "LD_PRELOAD=" MOE_FAULTS, "MOE_FAULT_FOLDER=" + folder + "/run",
                          "MOE_FAULT_AT=" + std::to_string(fault.call), "MOE_FAULT_KIND=" + fault.kind};
    if (walk_.ranks > 1) environment.push_back("MOE_FAULT_RANK=" + std::to_string(fault.rank));
    if (fault.lasts) environment.emplace_back("MOE_FAULT_LASTS=1");
    if (!walk_.text.empty()) environment.push_back("MOE_FAULT_TEXT=" + walk_.text);
    if (!log.empty()) environment.push_back("MOE_FAULT_LOG=" + log);
    const Arguments train = environment + tiny_train(folder, walk_.settings);
    return walk_.ranks > 1 ? mpirun(walk_.ranks) + train : train;
  }

  void note_end(const Finished& hit, const Fault& fault, const std::string& name, FaultOutcome& outcome) const {
    const bool kills = fault.kind == "kill" || fault.kind == "torn";
    if (hit.code == 0) {
      ++outcome.went_on;
    } else if (hit.code == 4 && !kills) {
      ++outcome.refused;
    } else if (fault.kind == "SIGTERM" && (hit.code == 128 + SIGTERM || hit.code == -SIGTERM)) {
      ++outcome.killed;
    } else if (kills && (hit.code == -SIGKILL || (walk_.ranks > 1 && hit.code == 128 + SIGKILL))) {
      ++outcome.killed;
    } else {
      outcome.failures.push_back(name + "exit " + std::to_string(hit.code) + "\n" + hit.err);
    }
  }

  // The same command without a fault.
  void note_recovery(const std::string& folder, const std::string& name, FaultOutcome& outcome) const {
    const std::string run = folder + "/run", straight = straight_ / "run";
    outcome.most_repeated = std::max(outcome.most_repeated, updates_after_last_checkpoint(run));
    const Finished again = run_child(command(folder));
    std::string wrong;
    if (again.code != 0) {
      wrong = "exit " + std::to_string(again.code) + " of the run that goes on\n" + again.err;
    } else {
      wrong = difference(run, straight);
    }
    if (!wrong.empty()) outcome.failures.push_back(name + wrong);
  }

  static std::string difference(const std::string& run, const std::string& straight) {
    if (largest_difference(find_checkpoint(run, "last"), find_checkpoint(straight, "last")) != 0)
      return "the weights differ from those of the straight run";
    if (const std::string found = metrics_difference(straight, run); !found.empty()) return found;
    const CheckpointFolder one(run + "/checkpoints"), two(straight + "/checkpoints");
    if (one.best() != two.best()) return "another best checkpoint than that of the straight run";
    if (one.steps() != two.steps()) return "other checkpoints than those of the straight run";
    return left_behind(run, straight);
  }

  // Files that the straight run does not have.
  static std::string left_behind(const std::string& run, const std::string& straight) {
    const std::set<std::string> expected = files(straight);
    for (const std::string& file : files(run)) {
      if (!expected.count(file)) return "left behind: " + file;
    }
    return "";
  }
  static std::set<std::string> files(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(folder))
      names.insert(fs::relative(entry.path(), folder).string());
    return names;
  }

  static int64_t updates_after_last_checkpoint(const std::string& run) {
    int64_t last = 0, saved = 0;
    std::istringstream lines(read_file(run + "/metrics.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json record = parse_json_or_null(line);
      if (record.is_object() && record.contains("step")) last = std::max(last, record.at("step").get<int64_t>());
    }
    if (fs::exists(run + "/checkpoints")) saved = CheckpointFolder(run + "/checkpoints").last().value_or(0);
    return std::max<int64_t>(0, last - saved);
  }

  const FaultWalk& walk_;
  TemporaryFolder straight_;
};

}  // namespace

std::map<std::string, FaultOutcome> walk(const FaultWalk& walk) {
  const Walker walker(walk);
  std::map<std::string, FaultOutcome> outcomes;
  for (int rank = 0; rank < walk.ranks; ++rank) {
    size_t tried = 0;
    for (const int64_t call : walker.calls(rank)) {
      for (size_t kind = 0; kind < walk.kinds.size(); ++kind) {
        if (!walk.all && kind != tried % walk.kinds.size()) continue;
        const Fault fault{call, walk.kinds[kind], rank, walk.lasts};
        walker.try_fault(fault, outcomes[fault.kind]);
      }
      ++tried;
    }
  }
  return outcomes;
}

FaultOutcome kill_by_time(const FaultWalk& walk, int64_t trials, uint64_t seed) {
  const Walker walker(walk);
  const auto longest = walker.time_of_a_run();
  std::mt19937_64 random(seed);
  FaultOutcome outcome;
  for (int64_t i = 0; i < trials; ++i) {
    const auto range = static_cast<uint64_t>(longest.count());
    walker.kill_after(std::chrono::microseconds(random() % std::max<uint64_t>(range, 1)), outcome);
  }
  return outcome;
}

}  // namespace moe
