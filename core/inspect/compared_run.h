// Reads one run's folder for a comparison: the settings that must agree between compared runs, and the results that are
// compared.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/config/config_tree.h"
#include "core/inspect/run_history.h"

namespace moe {

inline constexpr const char *kUpdates = "updates", *kTokensPerUpdate = "tokens per update";  // names of terms

// The evaluation of a run that is compared. The best of many favours runs whose evaluations have a high variance.
enum class ComparedAt { last, best };

// The configuration and the seed in a run's name of the form CONFIG-seedN, which may be a path; nothing for another
// name.
struct SeedName {
  std::string config;
  int64_t seed = 0;
};
std::optional<SeedName> parse_seed_name(const std::string& name);

struct ComparedRun {
  // copy: of the baseline, to measure the noise; other_cost: of the baseline, shorter or longer.
  enum class Standing { fair, copy, other_cost, diverged, unfinished, unreadable, unfair };

  std::string name;    // name of its folder
  std::string config;  // the name without "-seedN" and, of a copy, "-noiseN"
  int64_t seed = 0;
  Standing standing = Standing::fair;
  std::string reason{};  // why it is left out

  // Settings that must be the same: names and values, in the same order for every run. Where the
  // runs do not have equal tokens (core/inspect/equal_cost.h), kUpdates and kTokensPerUpdate may differ.
  std::vector<std::pair<std::string, std::string>> terms{};
  ConfigNode configuration{};
  std::string machine{}, program{};  // where and by which build it was made; several when the run was moved
  std::string precision{};           // likewise
  double updates = kAbsent, tokens_per_update = kAbsent;

  int64_t step = 0;  // step of the evaluation that is compared
  double quality = kAbsent;
  std::vector<EvaluatedPart> parts{};  // of that evaluation
  bool is_copy = false;                // perturbed (init.perturb), to measure the noise
  bool has_other_cost = false;         // from the folder costs: the baseline, shorter or longer
  double milliseconds = kAbsent;       // per step, median over the logged steps
  double parameters = kAbsent, active_parameters = kAbsent, flops_per_token = kAbsent;
  // Over the evaluation's tokens: largest load over the mean load in the worst layer, and experts of all layers without
  // a token.
  double max_over_mean = kAbsent, dead = kAbsent;
  // Mean over the logged steps in the tenth of the run that ends with the evaluation. 1 is a uniform router.
  double router_entropy = kAbsent;
  std::map<std::string, double> measures{};

  double tokens() const { return tokens_per_update * static_cast<double>(step); }
  double operations() const { return flops_per_token * tokens(); }

  RunHistory history{};
};

// The figures that reports list for each run.
struct RunFigure {
  const char* name;
  double ComparedRun::*value;
};
inline constexpr RunFigure kRunFigures[] = {{"ms_per_step", &ComparedRun::milliseconds},
                                            {"flops_per_token", &ComparedRun::flops_per_token},
                                            {"parameters", &ComparedRun::parameters},
                                            {"active_parameters", &ComparedRun::active_parameters},
                                            {"load_max_over_mean", &ComparedRun::max_over_mean},
                                            {"dead", &ComparedRun::dead},
                                            {"router_entropy", &ComparedRun::router_entropy}};

const char* name_of(ComparedRun::Standing standing);

// Reads DIR/name; `name` may have folders before it, which are not part of its configuration's name. A run that cannot
// be compared gives the reason in `standing` and `reason`; nothing is thrown for it.
ComparedRun read_compared_run(const std::string& folder, const std::string& name, ComparedAt at);

}  // namespace moe
