#include "core/inspect/curriculum_stats.h"

#include <algorithm>
#include <filesystem>

#include "core/base/integer.h"
#include "core/base/json.h"
#include "core/base/log.h"
#include "data/curriculum/curriculum.h"

namespace moe {

static RatedSample rated(const DifficultyStore& store, int64_t sample, const ViewSample& view) {
  RatedSample result{
      .sample = sample, .rank = store.rank(sample), .score = store.score(sample), .last_seen = store.last_seen(sample)};
  for (size_t i = 0; i < kSampleSignals.size(); ++i) {
    if (const auto average = store.average(static_cast<SampleSignal>(i), sample)) {
      result.averages.emplace_back(kSampleSignals[i].name, *average);
    }
  }
  result.view = view(sample);
  return result;
}

std::optional<CurriculumStats> curriculum_stats(const std::string& checkpoint, const TrainConfig& config, int64_t count,
                                                const ViewSample& view) {
  const std::string file = checkpoint + "/" + Curriculum::kFile;
  if (!std::filesystem::exists(file)) return std::nullopt;
  const Json header = read_store_header(file);
  CurriculumConfig plain = config.curriculum;  // nothing is drawn, so the sampler that made the store is not needed
  plain.sampler.select("uniform");
  for (const auto& name : header.at("signals")) {
    for (size_t i = 0; i < kSampleSignals.size(); ++i) {
      double& weight = plain.signals.weight[i];
      if (name == kSampleSignals[i].name && weight == 0) weight = 1;
    }
  }
  if (measured_signals(plain).none()) plain.signals.weight[index_of(SampleSignal::loss)] = 1;
  Curriculum curriculum({.config = plain,
                         .samples = header.at("samples"),
                         .batch = config.train.batch,
                         .seed = 0,
                         .run = RunLength{1, 1, 1},
                         .data = header.at("about").at("data")},
                        "");
  curriculum.read(file);
  const DifficultyStore& store = curriculum.store();

  CurriculumStats stats;
  stats.sampler = config.curriculum.sampler.kind();
  stats.samples = store.num_samples();
  stats.seen = store.seen();
  stats.bytes = static_cast<double>(store.bytes());
  for (const double q : {0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0}) {
    stats.score_quantiles.emplace_back(q, store.score_quantile(q));
  }
  std::vector<int64_t> seen;
  for (int64_t s = 0; s < store.num_samples(); ++s) {
    if (store.is_seen(s)) seen.push_back(s);
  }
  const auto n = std::min<int64_t>(count, static_cast<int64_t>(seen.size()));
  const auto pick = [&](auto before, std::vector<RatedSample>& into) {
    std::partial_sort(seen.begin(), seen.begin() + n, seen.end(), before);
    for (int64_t i = 0; i < n; ++i) into.push_back(rated(store, seen[as_index(i)], view));
  };
  const auto key = [&](int64_t s) { return std::pair(store.score(s), s); };
  pick([&](int64_t a, int64_t b) { return key(a) < key(b); }, stats.easiest);
  pick([&](int64_t a, int64_t b) { return key(a) > key(b); }, stats.hardest);
  return stats;
}

std::optional<CurriculumStats> curriculum_stats(const std::string& checkpoint, const TrainConfig& config,
                                                int64_t count) {
  if (!std::filesystem::exists(checkpoint + "/" + Curriculum::kFile)) return std::nullopt;
  try {
    const std::unique_ptr<Task> task = open_task(config, checkpoint);
    return curriculum_stats(checkpoint, config, count, [&](int64_t sample) { return task->view(sample); });
  } catch (const DataError& error) {
    log::warn("the samples themselves are not shown: {}", error.what());
    return curriculum_stats(checkpoint, config, count, [](int64_t) { return SampleView(); });
  }
}

}  // namespace moe
