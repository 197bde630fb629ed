#include "core/inspect/few_shot_report.h"

#include <algorithm>
#include <filesystem>

#include "core/base/text.h"
#include "core/inspect/compared_run.h"
#include "core/inspect/paired_difference.h"
#include "core/inspect/report_table.h"

namespace moe {

FewShotRun few_shot_run(const std::string& folder) {
  std::filesystem::path path(folder);
  if (!path.has_filename()) path = path.parent_path();
  const std::string name = path.filename().string();
  const SeedName parsed = parse_seed_name(name).value_or(SeedName{name, 0});
  return {parsed.config, parsed.seed, {}, {}};
}

namespace {

// The runs of a configuration.
struct Config {
  std::string name;
  std::vector<const FewShotRun*> seeds;
};

std::vector<Config> configs_of(const std::vector<FewShotRun>& runs) {
  std::vector<Config> configs;
  for (const FewShotRun& run : runs) {
    auto found = std::find_if(configs.begin(), configs.end(), [&](const Config& c) { return c.name == run.config; });
    if (found == configs.end()) found = configs.insert(configs.end(), {run.config, {}});
    found->seeds.push_back(&run);
  }
  return configs;
}

// What is averaged: the means of the seeds, or the draws of a single run.
std::vector<double> values_of(const Config& config, size_t line) {
  if (config.seeds.size() == 1) return config.seeds.front()->results[line].accuracies;
  std::vector<double> means;
  for (const FewShotRun* run : config.seeds) means.push_back(run->results[line].mean());
  return means;
}

// The differences from the baseline: by the seeds that both have; of single runs by draw.
std::vector<double> differences(const Config& config, const Config& baseline, size_t line) {
  std::vector<double> result;
  if (config.seeds.size() == 1 && baseline.seeds.size() == 1) {
    const auto &mine = config.seeds.front()->results[line].accuracies,
               &other = baseline.seeds.front()->results[line].accuracies;
    for (size_t i = 0; i < mine.size(); ++i) result.push_back(mine[i] - other[i]);
    return result;
  }
  for (const FewShotRun* run : config.seeds) {
    for (const FewShotRun* other : baseline.seeds) {
      if (run->seed == other->seed) result.push_back(run->results[line].mean() - other->results[line].mean());
    }
  }
  return result;
}

std::string percent(double value) {
  return figure_text(100 * value, 2);
}
std::string with_interval(const std::string& mean, const PairedDifference& x) {
  return mean + (x.has_interval() ? " ± " + percent(x.half_width) : "");
}

}  // namespace

std::string few_shot_text(const std::vector<FewShotRun>& runs) {
  const std::vector<Config> configs = configs_of(runs);
  ReportTable table{"", {"configuration", "labels per class", "ridge", "accuracy %", "from the first"}, {}};
  for (size_t line = 0; line < runs.front().results.size(); ++line) {
    for (const Config& config : configs) {
      std::vector<std::string> ridges;
      for (const FewShotRun* run : config.seeds) {
        const std::string ridge = fmt::format("{:g}", run->results[line].ridge);
        if (std::find(ridges.begin(), ridges.end(), ridge) == ridges.end()) ridges.push_back(ridge);
      }
      const bool is_first = &config == &configs.front();
      std::string difference = "-";
      if (!is_first) {
        const PairedDifference d = paired_difference(differences(config, configs.front(), line));
        difference = with_interval(signed_text(100 * d.mean, 2), d);
      }
      const PairedDifference accuracy = paired_difference(values_of(config, line));
      table.rows.push_back({config.name, std::to_string(config.seeds.front()->results[line].labels), join(ridges, ", "),
                            with_interval(percent(accuracy.mean), accuracy), difference});
    }
  }
  const bool seeds = std::any_of(configs.begin(), configs.end(), [](const Config& c) { return c.seeds.size() > 1; });
  const std::string note = fmt::format(
      "Each figure is the mean of {} draws of labelled samples, the same for all. Intervals of 95 % (Student's t) are "
      "over {}.",
      runs.front().results.front().accuracies.size(),
      seeds ? "the seeds; those of a single run are over its draws"
            : "the draws of one run, and say nothing of other seeds");
  return table_text(table) + wrapped(note);
}

Json few_shot_json(const std::vector<FewShotRun>& runs) {
  Json list = Json::array();
  for (const FewShotRun& run : runs) {
    Json results = Json::array();
    for (const FewShotAccuracy& r : run.results)
      results.push_back({{"labels", r.labels}, {"ridge", r.ridge}, {"accuracy", r.mean()}, {"draws", r.accuracies}});
    list.push_back({{"config", run.config}, {"seed", run.seed}, {"checkpoint", run.checkpoint}, {"results", results}});
  }
  Json differences_from_first = Json::array();
  const std::vector<Config> configs = configs_of(runs);
  for (size_t c = 1; c < configs.size(); ++c) {
    for (size_t line = 0; line < runs.front().results.size(); ++line) {
      const PairedDifference d = paired_difference(differences(configs[c], configs.front(), line));
      Json record = {{"config", configs[c].name},
                     {"labels", configs[c].seeds.front()->results[line].labels},
                     {"difference", d.mean}};
      if (d.has_interval()) record["low"] = d.low(), record["high"] = d.high();
      differences_from_first.push_back(std::move(record));
    }
  }
  return {{"runs", list}, {"differences", differences_from_first}};
}

}  // namespace moe
