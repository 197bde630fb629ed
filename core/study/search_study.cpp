#include "core/study/search_study.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/inspect/comparison.h"
#include "core/inspect/comparison_tables.h"
#include "core/study/child_program.h"
#include "core/study/grid.h"
#include "core/study/study.h"

namespace moe {
namespace {

class Search {
 public:
  explicit Search(const SearchOptions& options) : options_(options), folder_(options.compare.folder) {
    if (folder_.empty()) throw UsageError("no output folder; give -o DIR");
    if (options.compare.seeds.empty()) throw UsageError("no seeds; give -s \"1 2 3\"");
    read_steps();
    if (options.grid.empty()) throw UsageError("nothing to search; give keys and their values");
    for (const std::string& text : options.grid) grid_.push_back(parse_grid_key(text));
    for (const Candidate& candidate : combinations(grid_)) {
      const std::string name = name_of(candidate);
      if (!candidates_.emplace(name, candidate).second) raise<UsageError>("two candidates have the name {}", name);
      names_.push_back(name);
    }
    if (names_.size() < 2) throw UsageError("a search needs at least two candidates");
  }

  int run() {
    keep_request();
    if (const int code = leave_out_invalid()) return code;
    for (int64_t round = 1; round <= options_.rounds; ++round) {
      say(fmt::format("round {}: {} candidates, {}{} each", round, names_.size(), amount_, unit_));
      rounds_ = round;
      for (const std::string& name : names_) last_round_[name] = round;
      const std::string report = round_folder(round) + ".txt";
      const CompareResult result = run_compare(compare_options(round, report));
      if (result.code != 0) {
        if (file_exists(report)) fmt::print("{}", read_text(report));
        return result.code;
      }
      if (!result.is_complete) return 0;
      if (names_.size() == 1 || round == options_.rounds) break;
      const size_t keep = static_cast<size_t>(options_.keep), count = (names_.size() + keep - 1) / keep;
      names_.clear();
      for (const Ranked& ranked : ranking_of(round)) {
        if (names_.size() < count) names_.push_back(ranked.name);
      }
      if (names_.size() != count)
        return failed(fmt::format("{} holds too few runs that can be compared", round_folder(round)));
      amount_ *= options_.keep;
    }
    const std::string text = table();
    replace_shared_text(folder_ + "/search.txt", text);
    fmt::print("{}", text);
    return 0;
  }

 private:
  struct Ranked {
    std::string name;
    double quality, flops, parameters;
  };

  static int failed(const std::string& message) {
    say("Error: " + message);
    return 1;
  }

  std::string round_folder(int64_t round) const { return fmt::format("{}/round-{}", folder_, round); }

  // The first round's length: an amount, which grows, and a unit.
  void read_steps() {
    const size_t digits = std::min(options_.steps.find_first_not_of("0123456789"), options_.steps.size());
    unit_ = options_.steps.substr(digits);
    const bool has_letters =
        unit_.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == unit_.npos;
    if (digits == 0 || digits > 15 || options_.steps[0] == '0' || !has_letters) {
      raise<UsageError>("-t {}: the first round's length is a whole number with or without a unit", options_.steps);
    }
    amount_ = std::stoll(options_.steps.substr(0, digits));
  }

  // A folder keeps the request it was created with; otherwise different keys or lengths would be compared as if they
  // were equal.
  void keep_request() {
    make_folder(folder_ + "/candidates");
    const auto claim = wait_for_claim(folder_, "setup");
    std::string request = fmt::format("steps {}\nkeep {}\n", options_.steps, options_.keep);
    for (const std::string& setting : options_.compare.settings) request += "--set\n" + setting + "\n";
    for (const std::string& text : options_.grid) request += text + "\n";
    const std::string file = folder_ + "/request.txt";
    if (!file_exists(file)) return replace_shared_text(file, request);
    if (read_text(file) != request) raise<UsageError>("{} holds another search; give another folder", folder_);
  }

  // Not every combination of a grid is a valid model.
  int leave_out_invalid() {
    const std::string errors = temporary_beside(folder_ + "/error");
    std::vector<std::string> valid;
    for (const std::string& name : names_) {
      replace_shared_text(candidate_file(name), "# Made by scripts/search.\n" + yaml_of(candidates_.at(name)));
      ConfigLayers layers{options_.compare.base, options_.compare.settings};
      layers.files.push_back(candidate_file(name));
      layers.settings.push_back("train.steps=" + options_.steps);
      std::vector<std::string> command{program_path("moe-train")};
      for (const std::string& word : layers.arguments()) command.push_back(word);
      command.emplace_back("--dry-run");
      if (run_program(command, {.out = "/dev/null", .err = errors}) == 0) {
        valid.push_back(name);
        continue;
      }
      const std::string text = read_text(errors);
      const std::string_view trimmed = trim(text);
      say(fmt::format("left out: {}: {}", name, trimmed.substr(trimmed.rfind('\n') + 1)));
    }
    ::unlink(errors.c_str());
    if (valid.size() < 2) {
      return failed(
          fmt::format("{} of {} candidates can be trained; at least two are needed", valid.size(), names_.size()));
    }
    names_ = std::move(valid);
    return 0;
  }

  std::string candidate_file(const std::string& name) const { return folder_ + "/candidates/" + name + ".yaml"; }

  CompareOptions compare_options(int64_t round, const std::string& report) const {
    CompareOptions compare = options_.compare;
    compare.folder = round_folder(round);
    compare.settings.push_back(fmt::format("train.steps={}{}", amount_, unit_));
    compare.report = report;
    for (const std::string& name : names_) compare.configs.push_back(StudyConfig::of_file(candidate_file(name)));
    return compare;
  }

  // The configurations of a round, the best first.
  std::vector<Ranked> ranking_of(int64_t round) const {
    const Comparison comparison = compare_folder(round_folder(round), {.at = options_.at, .baseline = ""});
    for (const Remark& remark : remarks(comparison)) {
      if (remark.alarming) log::warn("{}: {}", remark.label, remark.text);
    }
    std::vector<Ranked> ranked;
    for (const ComparedConfig& config : comparison.configs) {
      ranked.push_back({config.name, config.mean_of(&ComparedRun::quality),
                        config.mean_of(&ComparedRun::flops_per_token), config.mean_of(&ComparedRun::parameters)});
    }
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const Ranked& a, const Ranked& b) { return a.quality < b.quality; });
    return ranked;
  }

  // Candidates of the last round come first; each round is sorted by quality.
  std::string table() const {
    std::string text =
        fmt::format("{:<6} {:<10} {:<12} {:<12} {}\n", "round", "quality", "MFLOP/token", "parameters", "candidate");
    for (int64_t round = rounds_; round >= 1; --round) {
      for (const Ranked& r : ranking_of(round)) {
        const auto last = last_round_.find(r.name);
        if (last == last_round_.end() || last->second != round) continue;
        text += fmt::format("{:<6} {:<10.4f} {:<12.2f} {:<12.0f} {}\n", round, r.quality, r.flops / 1e6, r.parameters,
                            r.name);
      }
    }
    return text;
  }

  const SearchOptions& options_;
  const std::string folder_;
  std::vector<GridKey> grid_;
  std::map<std::string, Candidate> candidates_;
  std::vector<std::string> names_;  // in the race
  std::map<std::string, int64_t> last_round_;
  int64_t amount_ = 0, rounds_ = 0;
  std::string unit_;
};

}  // namespace

int run_search(const SearchOptions& options) {
  return Search(options).run();
}

}  // namespace moe
