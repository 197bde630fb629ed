// One run's folder as a comparison sees it: what must agree between runs that may be compared, and what they are
// compared by.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/config/config_tree.h"
#include "core/inspect/run_history.h"

namespace moe {

// Which of a run's evaluations counts. The best of many favours runs whose evaluations scatter.
enum class ComparedAt { last, best };

struct ComparedRun {
  enum class Standing { fair, unfinished, unreadable, unfair };

  std::string name;    // of its folder
  std::string config;  // the same without "-seedN"
  int64_t seed = 0;
  Standing standing = Standing::fair;
  std::string reason{};  // why it is left out

  // What has to be the same: names and values, in this order for every run.
  std::vector<std::pair<std::string, std::string>> terms{};
  ConfigNode configuration{};
  std::string machine{}, program{};  // where and by which build; several when it was moved
  double tokens_per_update = kAbsent;

  int64_t step = 0;  // of the evaluation that counts
  double quality = kAbsent;
  double milliseconds = kAbsent;  // a step, median over the logged ones
  double parameters = kAbsent, active_parameters = kAbsent, flops_per_token = kAbsent;
  // Over the evaluation's tokens: the worst layer's largest load over the mean, experts of all layers without a token.
  double max_over_mean = kAbsent, dead = kAbsent;
  // Mean over the logged steps of the tenth of the run that ends with the evaluation. 1 is an undecided router.
  double router_entropy = kAbsent;
  std::map<std::string, double> measures{};

  RunHistory history{};
};

// Reads DIR/name. A run that cannot be compared says why in its standing and reason; nothing is thrown for it.
ComparedRun read_compared_run(const std::string& folder, const std::string& name, ComparedAt at);

}  // namespace moe
