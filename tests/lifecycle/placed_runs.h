// Runs whose experts are placed, and loads that are skewed, for tests of parallel.placement and parallel.replicas.
#pragma once
#include <algorithm>
#include <map>
#include <mutex>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/lifecycle/expert_placement.h"
#include "core/lifecycle/moved_experts.h"
#include "core/ops/copy_of_token.h"
#include "core/ops/hash_choice.h"
#include "tests/support/random_map.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

namespace moe {

inline constexpr int64_t kVocab = 19;
using Values = std::map<std::string, std::vector<double>>;

inline TrainConfig config_of(const std::string& moe, const std::string& placement, const std::string& more = "") {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}, init_std: 0.2, bias: {{router: true, feed_forward: "
      "true}}}}, data: {{sequence: 8}}, train: {{batch: 4, steps: 100, clip_norm: 0}}, moe: {{d_ff: 12, {}}}, "
      "parallel: {{placement: {}}}{}}}",
      moe, placement, more));
}

inline StepOutcome update(TinyRun& run, int64_t step) {
  return run.run(RandomBatch(run.config, kVocab, 7, static_cast<uint64_t>(step)), step, 3e-3);
}

inline void place_randomly(TinyRun& run, uint64_t seed) {
  for (MoELayer* layer : run.state.model->moe_layers()) {
    const ExpertMap& now = layer->expert_map();
    const auto of_layer = seed + 100 * static_cast<uint64_t>(layer->layer());
    move_experts(run.state, run.groups, *layer, test::random_map(now.experts(), now.ranks(), of_layer));
  }
}

// Batches whose tokens choose expert e of the first layer with a probability proportional to 1 / (e + 1) (Zipf), or
// half of which choose the first expert and the others all alike, through a router that is a hash of the token id.
enum class Skew { zipf, half_for_one };
class SkewedBatches {
 public:
  static constexpr int64_t kIds = 1024;

  explicit SkewedBatches(TinyRun& run, Skew skew = Skew::zipf) : id_of_(as_index(run.config.moe.experts), -1) {
    Context& ctx = run.state.ctx;
    ctx.activations->reset();
    std::vector<int32_t> ids(kIds);
    std::iota(ids.begin(), ids.end(), 0);
    const Tensor chosen = ctx.allocate(Shape{kIds, 1}, DType::i32);
    hash_choice(ctx, chosen, as_tensor(std::span(ids)), run.config.moe.experts,
                {.seed = 0, .purpose = RandomPurpose::router_noise, .stream = 0, .step = 0});
    for (int32_t id = 0; id < kIds; ++id) id_of_[as_index(chosen.as<int32_t>()[id])] = id;
    double sum = 0;
    const auto others = static_cast<double>(id_of_.size() - 1);
    for (size_t e = 0; e < id_of_.size(); ++e) {
      const double zipf = 1 / static_cast<double>(e + 1), half = e == 0 ? others : 1;
      below_.push_back(sum += skew == Skew::zipf ? zipf : half);
    }
  }

  RandomBatch at(const TrainConfig& config, int64_t step) const {
    RandomBatch batch(config, kIds, 7, static_cast<uint64_t>(step));
    const RandomKey key{.seed = 4, .purpose = RandomPurpose::test, .step = static_cast<uint64_t>(step)};
    for (size_t i = 0; i < batch.inputs.size(); ++i) {
      const double draw = static_cast<double>(key.uniform(i)) * below_.back();
      const auto expert = std::upper_bound(below_.begin(), below_.end() - 1, draw) - below_.begin();
      batch.inputs[i] = id_of_[static_cast<size_t>(expert)];
    }
    return batch;
  }

  // The rows that each rank computes of a batch, with k = 1.
  std::vector<double> rows_of_ranks(const RandomBatch& batch, const MoELayer& layer) const {
    const ExpertMap& map = layer.expert_map();
    std::vector<double> rows(as_index(map.ranks()));
    for (size_t token = 0; token < batch.inputs.size(); ++token) {
      const auto expert = std::find(id_of_.begin(), id_of_.end(), batch.inputs[token]) - id_of_.begin();
      std::vector<int64_t> holders{map.rank_of(expert)};
      for (int64_t rank = 0; rank < map.ranks(); ++rank) {
        const std::span<const int32_t> copies = layer.replicas().on(rank);
        if (std::find(copies.begin(), copies.end(), expert) != copies.end()) holders.push_back(rank);
      }
      const int32_t copy = copy_of_token(static_cast<int64_t>(token), static_cast<int32_t>(holders.size()));
      ++rows[as_index(holders[as_index(copy)])];
    }
    return rows;
  }

 private:
  std::vector<int32_t> id_of_;  // by expert
  std::vector<double> below_;
};

struct Curve {
  std::vector<double> losses;
  Values values;
  double busiest = 0;  // over the last ten updates
  std::vector<LayerPlacement> first;
  int64_t copies = 0;   // in the end
  double computed = 0;  // `busiest` by the rows that ranks computed, which copies divide nearly equally; with k = 1
};

inline Curve train_skewed(const TrainConfig& config, int ranks, int64_t width, Skew skew = Skew::zipf) {
  Curve curve;
  std::mutex mutex;
  test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
    TinyRun run(config, SkewedBatches::kIds, ProcessGroups::make(world, width, config.moe.experts));
    const SkewedBatches batches(run, skew);
    ExpertPlacement placement(config.parallel.placement, {100, 1000, 10}, config.parallel.replicas);
    std::vector<double> rows(as_index(config.moe.experts)), losses;
    std::vector<LayerPlacement> first;
    std::vector<double> of_ranks(as_index(width));
    double busiest = 0;
    for (int64_t step = 0; step < 50; ++step) {
      losses.push_back(run.run(batches.at(config, step), step, 3e-3).loss);
      placement.observe(*run.state.model, run.groups);
      const MoELayer& layer = *run.state.model->moe_layers()[0];
      for (size_t e = 0; e < rows.size() && step >= 40; ++e) rows[e] += layer.load().counts[e];
      if (step >= 40) {
        const std::vector<double> now = batches.rows_of_ranks(batches.at(config, step), layer);
        for (size_t r = 0; r < now.size(); ++r) of_ranks[r] += now[r];
      }
      if (step == 49) busiest = busiest_over_mean(layer.expert_map(), layer.replicas(), rows);
      if (!placement.is_due(step + 1, run.groups)) continue;
      const auto placed = placement.place(run.state, run.groups);
      if (first.empty()) first = placed;
    }
    Values values = everything_named(run);
    const std::scoped_lock lock(mutex);
    curve.values.merge(values);
    if (world->rank() > 0) return;
    curve.losses = losses, curve.busiest = busiest, curve.first = first;
    curve.computed = *std::max_element(of_ranks.begin(), of_ranks.end()) * static_cast<double>(width) /
                     std::accumulate(of_ranks.begin(), of_ranks.end(), 0.0);
    curve.copies = run.state.model->moe_layers()[0]->replicas().number();
  });
  return curve;
}

}  // namespace moe
