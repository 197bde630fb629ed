// The reduction of gradients over the ranks while backward computes others.
#include "core/optim/gradient_reduction.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "tests/support/catch.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kVocab = 29;

TrainConfig config_of(const std::string& yaml) {
  TrainConfig config;
  read_config(parse_config(yaml, "a test"), config);
  return config;
}

std::vector<float> floats(const Tensor& x) {
  return {x.as<float>(), x.as<float>() + x.size()};
}

// Copies gradients when they are said to be complete.
struct Copies : GradientObserver {
  explicit Copies(TinyRun& r) : run(r) {}
  void copy(int64_t place) {
    for (const Parameter& p : run.state.parameters.parameters()) {
      if (completed_at(p) == place && p.group != ParameterGroup::untrained) then[p.name] = floats(p.gradient);
    }
  }
  void before_blocks(Context&) override { copy(GradientBucket::kBeforeBlocks); }
  void block_complete(Context&, int64_t block) override { copy(block); }

  TinyRun& run;
  std::map<std::string, std::vector<float>> then;
};

void check_completeness(const std::string& yaml) {
  INFO(yaml);
  const TrainConfig config = config_of(yaml);
  TinyRun run(config, kVocab, ProcessGroups::single());
  Copies copies(run);
  run.state.ctx.gradients = &copies;
  run.accumulate(RandomBatch(config, kVocab, 5), 3);
  size_t complete = 0;
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.group == ParameterGroup::untrained || completed_at(p) == GradientBucket::kAtEnd) continue;
    ++complete;
    INFO(p.name);
    CHECK(copies.then.at(p.name) == floats(p.gradient));
  }
  CHECK(complete > 0);
}

constexpr const char* kModel =
    "model: {layers: 2, d_model: 24, attention: {heads: 3}, init_std: 0.05}\n"
    "data: {sequence: 12}\ntrain: {batch: 3, steps: 100}\n";

std::string with_moe(const std::string& more) {
  return fmt::format("{}moe: {{experts: 4, d_ff: 16, shared_experts: 1, {}}}\n", kModel, more);
}

}  // namespace

TEST_CASE("gradients of a block do not change after backward has said that they are complete, for every strategy") {
  for (const Member& strategy : family<Strategy>()) check_completeness(with_moe("strategy: " + strategy.name));
  for (const std::string& variant : test::strategy_variants()) check_completeness(with_moe("strategy: " + variant));
}

TEST_CASE("gradients of a block do not change after backward has said that they are complete, for every router") {
  for (const Member& router : family<Router>()) check_completeness(with_moe("router: " + router.name));
}

TEST_CASE("gradients of a block do not change after backward has said that they are complete, for every model") {
  check_completeness(std::string(kModel) + "moe: {experts: 4, d_ff: 16}\ntask: classify\n");
  for (const char* more : {"tie_embeddings: true", "tie_embeddings: false", "norm_place: post", "arrangement: glam",
                           "attention: {heads: 3, position: relative, memory: 7}"}) {
    check_completeness(
        fmt::format("model: {{layers: 2, d_model: 24, {}{}}}\nmoe: {{experts: 4, d_ff: 16}}\ndata: {{sequence: 12}}\n"
                    "train: {{batch: 3}}\ncurriculum: {{sampler: contiguous}}\n",
                    more, std::string(more).find("attention") == 0 ? "" : ", attention: {heads: 3}"));
  }
}

TEST_CASE("gradients that are reduced during backward have the bits of those that are reduced afterwards") {
  for (const char* reduce_in : {"f32", "bf16"}) {
    for (const int micro_batches : {1, 2}) {
      INFO(reduce_in << ", " << micro_batches << " micro-batches");
      std::mutex mutex;
      std::map<int, std::map<std::string, std::vector<double>>> results[2];
      size_t early[2] = {};
      for (const bool during : {false, true}) {
        test::run_ranks(4, [&](std::shared_ptr<Communicator> world) {
          const TrainConfig config =
              config_of(fmt::format("{}moe: {{experts: 4, d_ff: 16}}\n"
                                    "parallel: {{reduce_during_backward: {}, reduce_in: {}, bucket: 300}}\n",
                                    kModel, during, reduce_in));
          TrainConfig cut = config;
          cut.train.micro_batches = micro_batches;
          cut.train.batch = 8;
          TinyRun run(cut, kVocab, ProcessGroups::make(world, 2, 4));
          // Two steps: in the second, gradients of experts are marked old.
          for (int64_t i = 0; i < 2; ++i) run.run(RandomBatch(cut, kVocab, 5, static_cast<uint64_t>(i)), i, 1e-3);
          run.accumulate(RandomBatch(cut, kVocab, 5, 2), 2);
          const std::scoped_lock lock(mutex);
          results[during][world->rank()] = named_gradients(run);
          early[during] = run.step.reduction().started_early();
        });
      }
      CHECK(early[0] == 0);
      CHECK(early[1] > 10);
      CHECK(results[0] == results[1]);
      // Shared parameters have the same bits on every rank.
      for (const auto& [name, values] : results[0][0]) {
        if (results[0][1].count(name) > 0) CHECK(results[0][1].at(name) == values);
      }
    }
  }
}

TEST_CASE("gradients that are sent in bf16 differ by its rounding from those sent in f32") {
  std::mutex mutex;
  std::map<std::string, std::vector<double>> results[2];
  for (const bool rounded : {false, true}) {
    test::run_ranks(2, [&](std::shared_ptr<Communicator> world) {
      const TrainConfig config =
          config_of(fmt::format("{}moe: {{experts: 4, d_ff: 16}}\nparallel: {{expert: 1, reduce_in: {}}}\n", kModel,
                                rounded ? "bf16" : "f32"));
      TinyRun run(config, kVocab, ProcessGroups::make(world, 1, 4));
      run.accumulate(RandomBatch(config, kVocab, 5), 0);
      const std::scoped_lock lock(mutex);
      results[rounded] = named_gradients(run);
    });
  }
  double largest = 0;
  for (const auto& [name, values] : results[1]) {
    INFO(name);
    const double error = distance(values, results[0].at(name));
    CHECK(error < 1.0 / 128);
    largest = std::max(largest, error);
  }
  CHECK(largest > 1.0 / 4096);
}
