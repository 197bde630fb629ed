#include "core/study/compare_study.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>
#include <system_error>

#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/inspect/tuning.h"
#include "core/study/child_program.h"
#include "core/study/fixed_steps.h"
#include "core/study/study.h"

namespace moe {
namespace {

std::vector<std::string> words_in(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// The multiples in ascending order, each as it names its folder.
std::map<double, std::string> read_costs(const std::string& text) {
  std::map<double, std::string> costs;
  for (const std::string& word : words_in(text)) {
    double value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size() || !(value > 0) || value > 1000 || value == 1)
      raise<UsageError>("--costs: {} is not a multiple of the baseline's steps; for example --costs \"0.5 2\"", word);
    costs[value] = fmt::format("{}", value);
  }
  return costs;
}

std::vector<std::string> read_order(const std::string& folder) {
  std::vector<std::string> names;
  std::ifstream file(folder + "/configs.txt");
  for (std::string line; std::getline(file, line);) names.push_back(line);
  return names;
}

class CompareStudy {
 public:
  explicit CompareStudy(const CompareOptions& options)
      : options_(options), seeds_(whole_numbers(options.seeds, "-s")), multiples_(read_costs(options.costs)) {
    if (options.folder.empty()) throw UsageError("no output folder; give -o DIR");
    if (options.configs.empty()) throw UsageError("nothing to compare; give configurations");
    if (seeds_.empty()) throw UsageError("no seeds; give -s \"1 2 3\"");
    if (!options.equal.empty()) equal_cost_of(options.equal);
    program_path("moe-inspect");
    if (!options.tuned.empty()) read_tuning(options.tuned + "/tune.json");
    for (const StudyConfig& config : options.configs) add_config(config);
  }

  CompareResult run() {
    for (size_t i = 0; i < configs_.size(); ++i) {
      if (const int code = check(i)) return {code, false};
    }
    const StudySignals signals;
    if (!prepare()) return {interrupted(""), false};
    const StudyOutcome outcome = train_study(study());
    if (outcome.interrupted_code != 0) return {interrupted(outcome.interrupted, outcome.interrupted_code), false};
    if (!outcome.left.empty()) {
      say(fmt::format("nothing is left to claim: other processes are training {}", join(outcome.left, ", ")));
      return {0, false};
    }
    return {report(outcome), true};
  }

 private:
  void add_config(const StudyConfig& given) {
    for (size_t i = 0; i < configs_.size(); ++i) {
      if (configs_[i].name == given.name)
        raise<UsageError>("{} and {} have the same name", files_of(given), files_of(options_.configs[i]));
    }
    StudyConfig config{given.name, {options_.base, options_.settings}};
    for (const std::string& file : given.layers.files) config.layers.files.push_back(file);
    configs_.push_back({config.name, config.layers.with(given.layers.settings)});
  }

  static std::string files_of(const StudyConfig& config) { return join(config.layers.files, " "); }

  // Reports every mistake in a configuration before training starts: the exit code of its dry run.
  int check(size_t i) const {
    const StudyConfig& config = configs_[i];
    std::vector<std::string> command{program_path("moe-train")};
    const ConfigLayers layers = run_layers(config, options_.folder, config.name + "-seed" + seeds_[0], seeds_[0]);
    for (const std::string& word : layers.arguments()) command.push_back(word);
    for (const std::string& word : {std::string("--ranks"), std::to_string(options_.ranks), std::string("--dry-run")})
      command.push_back(word);
    const int code = run_program(command, {.out = "/dev/null", .err = ""});
    if (code != 0)
      say(fmt::format("(the error above is in {} {})", join(options_.base, " "), files_of(options_.configs[i])));
    return code;
  }

  static ConfigLayers run_layers(const StudyConfig& config, const std::string& folder, const std::string& name,
                                 const std::string& seed) {
    return config.layers.with({"seed=" + seed, "folder=" + folder, "name=" + name});
  }

  // Writes the order of the configurations and fixes their steps, one process at a time. False after a signal.
  bool prepare() {
    make_folder(options_.folder);
    const auto claim = wait_for_claim(options_.folder, "setup");
    if (!claim) return false;
    if (!options_.tuned.empty())
      replace_shared_text(options_.folder + "/tune.json", read_text(options_.tuned + "/tune.json"));
    std::vector<std::string> order = read_order(options_.folder);
    const EqualCost equal = equal_cost(!order.empty());
    const size_t known = order.size();
    for (const StudyConfig& config : configs_) {
      if (std::find(order.begin(), order.end(), config.name) == order.end()) order.push_back(config.name);
    }
    baseline_ = order.front();
    if (!multiples_.empty()) {
      if (!find(baseline_)) raise<UsageError>("--costs trains the baseline {}: name its configuration too", baseline_);
      baseline_steps_ = cost_of(find(baseline_)->layers.read()).steps;
    }
    costs_.equal = equal;
    if (equal != EqualCost::tokens) {
      const auto fixed = fix_steps({.folder = options_.folder,
                                    .equal = equal,
                                    .ranks = options_.ranks,
                                    .seed = seeds_[0],
                                    .baseline = baseline_,
                                    .configs = configs_});
      if (!fixed) return false;
      costs_ = *fixed;
      if (equal == EqualCost::seconds && !costs_.machine.starts_with(host_name() + ", ")) {
        raise<UsageError>("{}: the times of steps were measured on {}; with equal seconds all runs are made there",
                          options_.folder, costs_.machine);
      }
    }
    if (order.size() > known) replace_shared_text(options_.folder + "/configs.txt", join(order, "\n") + "\n");
    return true;
  }

  // What the runs of the folder have in common.
  EqualCost equal_cost(bool has_configs) const {
    const StudyCosts costs = read_study_costs(options_.folder);
    const bool is_fixed = has_configs || !costs.configs.empty();
    if (options_.equal.empty()) return costs.equal;
    const EqualCost wanted = equal_cost_of(options_.equal);
    if (is_fixed && wanted != costs.equal) {
      raise<UsageError>("{} holds a comparison with equal {}, and this command asks for equal {}; give another folder",
                        options_.folder, name_of(costs.equal), options_.equal);
    }
    return wanted;
  }

  const StudyConfig* find(const std::string& name) const {
    const auto it = std::find_if(configs_.begin(), configs_.end(), [&](const auto& c) { return c.name == name; });
    return it == configs_.end() ? nullptr : &*it;
  }

  // Runs are made seed by seed, so that early results can be compared. Within a seed the first configuration rotates,
  // so that a machine that slows down does not favour one.
  Study study() const {
    Study study{.folder = options_.folder, .ranks = options_.ranks, .waits = options_.waits, .units = {}};
    const size_t count = configs_.size();
    const uint64_t first = std::stoull(seeds_[0]) + count - 1;
    for (size_t i = 0; i < seeds_.size(); ++i) {
      StudyUnit unit{"seed" + seeds_[i], {}};
      for (size_t j = 0; j < count; ++j) {
        const StudyConfig& config = configs_[(j + i + first) % count];
        unit.runs.push_back(make_run(config, "", config.name + "-seed" + seeds_[i], seeds_[i], steps_of(config)));
      }
      for (const auto& [multiple, name] : multiples_) unit.runs.push_back(multiple_run(multiple, name, seeds_[i]));
      study.units.push_back(std::move(unit));
    }
    if (options_.copies > 0) study.units.push_back(noise());
    return study;
  }

  // The copies of the first configuration.
  StudyUnit noise() const {
    StudyUnit unit{"noise", {}};
    const StudyConfig& config = configs_[0];
    for (int64_t i = 1; i <= options_.copies; ++i) {
      std::vector<std::string> settings = steps_of(config);
      settings.insert(settings.end(), {"init.perturb=1e-6", fmt::format("init.perturb_seed={}", i)});
      unit.runs.push_back(
          make_run(config, "", fmt::format("{}-noise{}-seed{}", config.name, i, seeds_[0]), seeds_[0], settings));
    }
    return unit;
  }

  StudyRun multiple_run(double multiple, const std::string& name, const std::string& seed) const {
    const StudyConfig& config = *find(baseline_);
    const int64_t scaled = std::max<int64_t>(1, std::llround(static_cast<double>(baseline_steps_) * multiple));
    return make_run(config, "costs/" + name + "/", config.name + "-seed" + seed, seed,
                    {fmt::format("train.steps={}", scaled)});
  }

  std::vector<std::string> steps_of(const StudyConfig& config) const {
    const auto fixed = costs_.configs.find(config.name);
    if (fixed == costs_.configs.end()) return {};
    return {fmt::format("train.steps={}", fixed->second.steps)};
  }

  // `place`: a folder below the study's, with "/", or nothing.
  StudyRun make_run(const StudyConfig& config, const std::string& place, const std::string& name,
                    const std::string& seed, const std::vector<std::string>& settings) const {
    const std::string folder =
        place.empty() ? options_.folder : options_.folder + "/" + place.substr(0, place.size() - 1);
    StudyRun run{place + name, folder + "/" + name, run_layers(config, folder, name, seed).with(settings).arguments()};
    if (options_.quiet) run.arguments.push_back("--quiet");
    return run;
  }

  static int interrupted(const std::string& run, int code = static_cast<int>(ExitCode::terminated)) {
    say(fmt::format("interrupted{}{}; run the same command again to resume", run.empty() ? "" : " in ", run));
    return StudySignals::received() != 0 ? 128 + StudySignals::received() : code;
  }

  int report(const StudyOutcome& outcome) const {
    const std::string& folder = options_.folder;
    // Processes that share the study print the same report.
    const std::string printed = options_.report.empty() ? "" : temporary_beside(options_.report);
    const int code = run_program({program_path("moe-inspect"), "compare", folder, "--json", folder + "/compare.json",
                                  "--html", folder + "/compare.html"},
                                 {.out = printed, .err = ""});
    if (StudySignals::received() != 0) {
      ::unlink(printed.c_str());
      return interrupted("");
    }
    if (!printed.empty()) move_into_place(printed, options_.report);
    const Study whole = study();
    const std::vector<std::string> failed = outcome.failed(whole);
    if (failed.empty()) return code;
    say(fmt::format("Error: {} of {} runs failed:", failed.size(), whole.total()));
    for (const std::string& line : failed) say("  " + line);
    return 1;
  }

  const CompareOptions& options_;
  const std::vector<std::string> seeds_;
  const std::map<double, std::string> multiples_;  // of the baseline's steps, and their names
  std::vector<StudyConfig> configs_;
  std::string baseline_;
  int64_t baseline_steps_ = 0;  // with multiples
  StudyCosts costs_;
};

}  // namespace

std::vector<std::string> whole_numbers(const std::string& list, const std::string& option) {
  const std::vector<std::string> words = words_in(list);
  for (const std::string& word : words) {
    const bool digits = word.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || word.size() > 18 || (word.size() > 1 && word[0] == '0'))
      raise<UsageError>("{}: {} is not a whole number", option, word);
  }
  return words;
}

CompareResult run_compare(const CompareOptions& options) {
  return CompareStudy(options).run();
}

}  // namespace moe
