#include "core/train/check_replay.h"

#include <algorithm>
#include <set>
#include <vector>

#include "core/step/training_state.h"
#include "core/trace/step_trace.h"
#include "data/content_hash.h"

namespace moe {
namespace {

constexpr const char* kKey = "moe.router.from";

struct ReplayedLayer {
  std::string run;
  int64_t block = 0, experts = 0, k = 0;
};

std::vector<ReplayedLayer> replayed_layers(const TrainConfig& config, const Task& task, const RunLength& length) {
  std::vector<ReplayedLayer> layers;
  with_model(config, task.shape(), length, [&](const Model& model) {
    for (MoELayer* layer : model.moe_layers()) {
      const RouterTraits& router = layer->router().traits();
      if (router.replays) layers.push_back({*router.replays, layer->layer(), layer->num_experts(), router.k});
    }
  });
  return layers;
}

// Every update needs its trace.
void check_steps(const std::string& run, const RunLength& length) {
  const std::vector<int64_t> steps = traced_steps(run, "training");
  int64_t missing = 1;
  for (const int64_t step : steps) missing += step == missing;
  if (missing > length.total_updates) return;
  raise<UsageError>(
      "{}: {} has no trace of update {} of this run's {}; that run must be trained with trace: {{every: 1}} for as "
      "many updates",
      kKey, run, missing, length.total_updates);
}

// One thing that must be the same in both runs.
template <class T>
void require_same(const std::string& path, const char* what, const T& traced, const T& here, const char* advice) {
  if (traced == here) return;
  raise<UsageError>("{}: {} is of a run with {} {}, this run has {}; {}", kKey, path, what, traced, here, advice);
}

void check_facts(const TraceFacts& f, const std::string& path, const TrainConfig& config, const Task& task) {
  if (!f.is_complete) {
    raise<UsageError>("{}: {} has only the first tokens of its update; the run must be trained with trace.tokens: 0",
                      kKey, path);
  }
  require_same(path, "data of the content hash", f.data, format_hash(task.content_hash("train")), "use the same data");
  require_same(path, "the batch", f.samples, config.train.batch, "set train.batch to that");
  require_same(path, "samples drawn by the seed", f.seed, config.data_seed(), "set data.seed to that");
  const int64_t time = task.shape().time;
  // Labelled texts are padded to the longest of their batch.
  if (task.tokens_per_sample() == static_cast<double>(time) || f.sequence > time)
    require_same(path, "samples of the length", f.sequence, time, "set data.sequence to that");
}

void check_layer(const StepTraceFile& file, const std::string& path, const ReplayedLayer& layer) {
  int64_t i = 0;
  while (i < file.num_layers() && file.block(i) != layer.block) ++i;
  if (i == file.num_layers())
    raise<UsageError>("{}: {} has no choices of block {}; that run must have the same MoE blocks", kKey, path,
                      layer.block);
  require_same(path, "experts in a block:", file.experts(i), layer.experts, "set moe.experts to that");
  if (const int64_t slots = file.layer(i, false).slots; slots > layer.k) {
    raise<UsageError>("{}: {} sends tokens to {} experts of block {}, this run to {}; set moe.router.k to that", kKey,
                      path, slots, layer.block, layer.k);
  }
}

}  // namespace

void check_replay(const TrainConfig& config, const Task& task, const RunLength& length) {
  const std::vector<ReplayedLayer> layers = replayed_layers(config, task, length);
  std::set<std::string> runs;
  for (const ReplayedLayer& layer : layers) runs.insert(layer.run);
  if (layers.empty()) return;
  if (config.init.reptile.rounds > 0)
    raise<UsageError>("{}: replay cannot route the batches of init.reptile, which no run traced", kKey);
  for (const std::string& run : runs) {
    if (run.empty())
      raise<UsageError>("{}: replay needs the folder of the run whose choices are repeated; set {}", kKey, kKey);
    check_steps(run, length);
    for (const int64_t step : {int64_t{1}, length.total_updates}) {
      const std::string path = trace_path(run, "training", step);
      const StepTraceFile file(path);
      check_facts(file.facts(), path, config, task);
      for (const ReplayedLayer& layer : layers) {
        if (layer.run == run) check_layer(file, path, layer);
      }
    }
  }
}

}  // namespace moe
