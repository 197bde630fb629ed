#include "core/study/study.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "core/record/run_lock.h"
#include "core/study/child_program.h"

namespace moe {
namespace {

using Clock = std::chrono::steady_clock;

std::string took(Clock::time_point start) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - start).count();
  return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
}

std::string record_path(const std::string& folder, const StudyUnit& unit) {
  return queue_folder(folder) + "/" + unit.name + ".done";
}

using Codes = std::map<std::string, int>;

// The exit codes of a unit's runs, if it was done.
Codes read_record(const std::string& path) {
  Codes codes;
  if (!file_exists(path)) return codes;
  try {
    const Json record = parse_json(read_text(path));
    for (const auto& [name, code] : record.at("runs").items()) codes[name] = code.get<int>();
  } catch (const JsonError&) {
    codes.clear();  // damaged: the unit is gone over again
  } catch (const CheckpointError&) {
    codes.clear();  // removed just now
  }
  return codes;
}

// Trains a study in this process.
class Worker {
 public:
  explicit Worker(const Study& study)
      : study_(study),
        queue_(queue_folder(study.folder)),
        settings_(ClaimSettings::of_this_machine()),
        launcher_(rank_launcher(study.ranks)),
        train_(program_path("moe-train")) {}

  StudyOutcome work() {
    forget_failures();
    while (!is_interrupted()) {
      bool is_idle = true;
      std::vector<const StudyUnit*> open;
      for (const StudyUnit& unit : study_.units) {
        if (is_done(unit)) continue;
        if (work_on(unit))
          is_idle = false;
        else
          open.push_back(&unit);
        if (is_interrupted()) return std::move(outcome_);
      }
      if (open.empty()) break;
      if (is_idle && !study_.waits) {
        for (const StudyUnit* unit : open) outcome_.left.push_back(unit->name);
        break;
      }
      if (is_idle) wait_for(*open.front());
    }
    return std::move(outcome_);
  }

 private:
  bool is_interrupted() {
    if (outcome_.interrupted_code == 0 && StudySignals::received() != 0)
      outcome_.interrupted_code = 128 + StudySignals::received();
    return outcome_.interrupted_code != 0;
  }

  // Removes the records of finished units, unless another process works on the study.
  void forget_failures() {
    for (const StudyUnit& unit : study_.units) {
      if (claim_owner(queue_, unit.name, settings_)) return;
    }
    for (const StudyUnit& unit : study_.units) ::unlink(record_path(study_.folder, unit).c_str());
  }

  // Whether the unit's record has all its runs.
  bool is_done(const StudyUnit& unit) {
    const Codes codes = read_record(record_path(study_.folder, unit));
    for (const StudyRun& run : unit.runs) {
      if (!codes.contains(run.name)) return false;
    }
    for (const StudyRun& run : unit.runs) outcome_.codes[run.name] = codes.at(run.name);
    return true;
  }

  // Whether the unit was this process's.
  bool work_on(const StudyUnit& unit) {
    const std::unique_ptr<Claim> claim = Claim::take(queue_, unit.name, settings_);
    if (!claim) return false;
    if (is_done(unit)) return true;  // by another process, just now
    Codes codes = read_record(record_path(study_.folder, unit));
    for (const StudyRun& run : unit.runs) {
      if (!claim->is_held()) {
        say(fmt::format("{} was taken over by another process, since this one did not renew its claim", unit.name));
        return true;
      }
      const auto code = train(run);
      if (!code) return true;
      codes[run.name] = *code;
    }
    replace_shared_text(record_path(study_.folder, unit), json_text_replacing({{"runs", Json(codes)}}, 1) + "\n");
    for (const StudyRun& run : unit.runs) outcome_.codes[run.name] = codes.at(run.name);
    return true;
  }

  // The exit code, or nothing after a signal.
  std::optional<int> train(const StudyRun& run) {
    wait_for_lock(run);
    if (!is_interrupted()) {
      // Runs of other processes count when their unit is done.
      const size_t others =
          static_cast<size_t>(std::count_if(outcome_.codes.begin(), outcome_.codes.end(),
                                            [&](const auto& entry) { return !started_.contains(entry.first); }));
      started_[run.name] = true;
      say(fmt::format("[{}/{}] {} ({})", others + started_.size(), study_.total(), run.name, took(start_)));
      std::vector<std::string> command = launcher_;
      command.push_back(train_);
      command.insert(command.end(), run.arguments.begin(), run.arguments.end());
      const int code = run_program(command);
      const bool ended_by_signal = code == 128 + SIGINT || code == 128 + SIGTERM;
      if (!is_interrupted() && !ended_by_signal) return code;
      if (outcome_.interrupted_code == 0) outcome_.interrupted_code = code;
    }
    outcome_.interrupted = run.name;
    return std::nullopt;
  }

  // After its study was killed, a run still ends its step and saves a checkpoint.
  void wait_for_lock(const StudyRun& run) {
    bool has_said = false;
    while (!is_interrupted() && is_run_in_use(run.folder)) {
      if (!has_said) say(fmt::format("{} is still in use by another process; waiting for it to end", run.name));
      has_said = true;
      wait_seconds(poll());
    }
  }

  void wait_for(const StudyUnit& unit) {
    const auto owner = claim_owner(queue_, unit.name, settings_);
    if (owner && waiting_for_ != *owner) {
      waiting_for_ = *owner;
      say(fmt::format("all that is left is being trained by other processes ({}: {}); waiting for them", unit.name,
                      *owner));
    }
    wait_seconds(poll());
  }

  double poll() const { return std::min(2.0, settings_.renewed / 4); }

  const Study& study_;
  const std::string queue_;
  const ClaimSettings settings_;
  const std::vector<std::string> launcher_;
  const std::string train_;
  const Clock::time_point start_ = Clock::now();
  std::map<std::string, bool> started_;  // by this process
  std::string waiting_for_;
  StudyOutcome outcome_;
};

}  // namespace

size_t Study::total() const {
  size_t count = 0;
  for (const StudyUnit& unit : units) count += unit.runs.size();
  return count;
}

std::vector<std::string> StudyOutcome::failed(const Study& study) const {
  std::vector<std::string> lines;
  for (const StudyUnit& unit : study.units) {
    for (const StudyRun& run : unit.runs) {
      const auto it = codes.find(run.name);
      if (it != codes.end() && it->second != 0) lines.push_back(fmt::format("{} (exit code {})", run.name, it->second));
    }
  }
  return lines;
}

std::string queue_folder(const std::string& study) {
  return study + "/queue";
}

std::unique_ptr<Claim> wait_for_claim(const std::string& study, const std::string& name) {
  make_folder(queue_folder(study));
  const ClaimSettings settings = ClaimSettings::of_this_machine();
  while (StudySignals::received() == 0) {
    if (auto claim = Claim::take(queue_folder(study), name, settings)) return claim;
    wait_seconds(std::min(0.2, settings.renewed / 4));
  }
  return nullptr;
}

StudyOutcome train_study(const Study& study) {
  make_folder(queue_folder(study.folder));
  return Worker(study).work();
}

}  // namespace moe
