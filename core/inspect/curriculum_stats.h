// Statistics of a checkpoint's difficulty store: how many samples have been seen, and the easiest and the hardest
// samples.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/tasks/task.h"

namespace moe {

struct RatedSample {
  int64_t sample = 0;
  double rank = 0;        // share of the seen samples that are easier
  double score = 0;       // in standard deviations of an evenly drawn sample's signals, weighted
  int64_t last_seen = 0;  // the update, counted from 1; 0 = not seen in this run
  std::vector<std::pair<std::string, double>> averages{};  // by signal, in its own unit
  SampleView view{};                                       // empty when it could not be read
};

struct CurriculumStats {
  std::string sampler;
  int64_t samples = 0, seen = 0;
  double bytes = 0;                                          // of the store in memory
  std::vector<std::pair<double, double>> score_quantiles{};  // (q, score) of the seen samples
  std::vector<RatedSample> easiest{}, hardest{};             // most extreme first
};

// Returns the representation of a sample in a report: its text, or a picture.
using ViewSample = std::function<SampleView(int64_t sample)>;

// Reads a checkpoint's folder; nothing when its run kept no store. `count`: number of easiest and of hardest samples.
// Throws CheckpointError for a damaged store.
std::optional<CurriculumStats> curriculum_stats(const std::string& checkpoint, const TrainConfig& config, int64_t count,
                                                const ViewSample& view);
// The same with the run's training samples, or without views where the data are not available.
std::optional<CurriculumStats> curriculum_stats(const std::string& checkpoint, const TrainConfig& config,
                                                int64_t count);

}  // namespace moe
