// Routers that learn from the losses of their tokens, in whole steps.
#include <map>
#include <string>
#include <vector>

#include "core/config/config_reader.h"
#include "core/model/model.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 23;

// Of every task, with all that a sample's tokens may have: padding, weights, several modalities.
static const char* kModels[] = {
    "data: {sequence: 6}",
    "{data: {sequence: 8, documents: separate}, moe: {strategy: stochastic}}",
    "{task: classify, model: {pooling: class_token, attention: {causal: false, position: learned}}, data: {sequence: "
    "9}}",
    "{task: classify, data: {sequence: 9, labelled: {format: tsv}}, moe: {strategy: hierarchical, experts: 6}}",
    "{task: pairs, model: {attention: {causal: false}}, data: {sequence: 8}}",
    "{task: pairs, model: {attention: {causal: false}}, data: {sequence: 8, labelled: {format: sound_folders}}}",
};

static TrainConfig config_of(const std::string& yaml) {
  ConfigNode root = parse_config(
      "{model: {layers: 2, d_model: 16, d_ff: 20, init_std: 0.3, attention: {heads: 2}}, moe: {experts: 4, d_ff: 12, "
      "balance: [switch], router: {kind: reinforce, coefficient: 3, entropy: 0.5, baseline: 1}}, train: {batch: 4, "
      "steps: 20}}",
      "base");
  merge_config(root, parse_config(yaml, "model"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// The gradients of the third update, in which the baseline has a mean of two earlier ones, and what was measured.
static std::map<std::string, std::vector<double>> third_update(TrainConfig config, int64_t micro_batches,
                                                               const ProcessGroups& groups) {
  config.train.micro_batches = micro_batches;
  TinyRun run(config, kVocab, groups, DType::f64);
  StepOutcome outcome;
  for (int64_t update = 0; update < 3; ++update) {
    RandomBatch batch(config, kVocab, 11, static_cast<uint64_t>(update));
    batch.weights = {0.25, 2, 1, 0.5};
    outcome = update < 2 ? run.run(batch, update, 1e-3) : run.accumulate(batch, update);
  }
  std::map<std::string, std::vector<double>> result = named_gradients(run);
  result["auxiliary loss"] = {outcome.auxiliary};
  for (const MoELayer* layer : run.state.model->moe_layers()) {
    layer->for_each_measure([&](const std::string& name, const std::optional<double>& value) {
      if (value) result[layer->name() + ", " + name].push_back(*value);
    });
  }
  return result;
}

TEST_CASE("the policy loss of every task is the same for any number of ranks and micro-batches") {
  for (const char* yaml : kModels) {
    const TrainConfig config = config_of(yaml);
    const auto expected = third_update(config, 1, ProcessGroups::single());
    const auto compare = [&](const std::map<std::string, std::vector<double>>& found, const std::string& layout) {
      for (const auto& [name, values] : expected) {
        INFO(yaml << "; " << layout << "; " << name);
        REQUIRE(found.count(name) == 1);
        CHECK(distance(found.at(name), values) < 1e-8);
      }
    };
    int policies = 0;
    for (const auto& [name, values] : expected) {
      if (name.find(", policy_loss") == std::string::npos) continue;
      for (const double value : values) policies += value != 0;
    }
    CHECK(policies >= 2);
    compare(third_update(config, 2, ProcessGroups::single()), "two micro-batches");
    test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
      const auto found = third_update(config, 1, ProcessGroups::make(world, 1, config.moe.experts));
      if (world->rank() == 0) compare(found, "two ranks");
    });
  }
}

TEST_CASE("the configurations above are of every task") {
  std::vector<TrainConfig> configs;
  for (const char* yaml : kModels) configs.push_back(config_of(yaml));
  configs.push_back(config_of("{task: classify, data: {labelled: {format: sound_folders}}}"));
  CHECK(missing_tasks(configs) == std::vector<std::string>{});
}

TEST_CASE(
    "weights of the samples' losses multiply the advantages, and a sample of weight 0 teaches the router nothing") {
  TrainConfig config =
      config_of("{data: {sequence: 6}, moe: {balance: [], router: {entropy: 0, gate_gradient: false}}}");
  TinyRun run(config, kVocab, ProcessGroups::single(), DType::f64);
  for (int64_t update = 0; update < 2; ++update) {
    run.run(RandomBatch(config, kVocab, 11, static_cast<uint64_t>(update)), update, 1e-3);
  }
  const auto router_gradient = [&](const std::vector<double>& weights) {
    RandomBatch batch(config, kVocab, 11, 2);
    batch.weights = weights;
    run.clear_gradients();
    run.accumulate(batch, 2);
    return named_gradients(run).at("blocks.1.moe.router.weight");
  };
  const auto all = router_gradient({1, 1, 1, 1}), none = router_gradient({0, 0, 0, 0}),
             doubled = router_gradient({2, 2, 2, 2});
  for (size_t i = 0; i < all.size(); ++i) {
    CHECK(none[i] == 0);
    CHECK(doubled[i] == Approx(2 * all[i]));
  }
}
