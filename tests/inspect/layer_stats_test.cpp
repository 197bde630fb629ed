#include "core/inspect/layer_stats.h"

#include <cmath>
#include <numeric>

#include "core/inspect/inspection.h"
#include "data/corpus.h"
#include "tests/inspect/sample_inspection.h"
#include "tests/support/catch.h"

using namespace moe;

static double sum(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0);
}

TEST_CASE("layer statistics of a case computed by hand") {
  // 40 tokens, one assignment each; the fair share is 10.
  Sums sums({20, 19, 1, 0}, {10, 10, 20, 0}, {16, 16, 4, 4}, 20 * std::log(4.0), 40, {5, 1, 0, 0});
  const LayerStats s = layer_stats(3, sums.view());
  CHECK(s.layer == 3);
  CHECK(s.load == std::vector<double>{0.5, 0.475, 0.025, 0});
  CHECK(s.importance == std::vector<double>{0.25, 0.25, 0.5, 0});
  CHECK(s.probability[0] == Approx(0.4));
  CHECK(s.dropped == std::vector<double>{0.125, 0.025, 0, 0});
  CHECK(s.dropped_share == 0.15);
  CHECK(s.dropped_of(0) == 0.25);
  CHECK(s.dropped_of(3) == 0);
  CHECK(s.router_entropy == Approx(0.5));
  CHECK(s.load_entropy ==
        Approx(-(0.5 * std::log(0.5) + 0.475 * std::log(0.475) + 0.025 * std::log(0.025)) / std::log(4.0)));
  CHECK(s.max_over_mean == Approx(2.0));
  CHECK(s.min_over_mean == 0);
  // relative loads 2, 1.9, 0.1, 0: variance (1 + 0.81 + 0.81 + 1) / 4
  CHECK(s.variation == Approx(std::sqrt(3.62 / 4)));
  CHECK(s.dead == 1);
  CHECK(s.nearly_dead == 0);  // a load of exactly a tenth of the fair share does not count
}

TEST_CASE("relative loads in three columns") {
  for (const auto& [load, text] : {std::pair{0.0, "0"},
                                   {0.001, "~0"},
                                   {0.042, ".04"},
                                   {0.0951, "0.1"},
                                   {1.0, "1.0"},
                                   {9.96, "10"},
                                   {128.0, "128"}}) {
    CHECK(short_load(load) == text);
  }
}

TEST_CASE("perfect balance, nearly dead experts, one expert, no token") {
  Sums even({5, 5, 5, 5}, {1, 1, 1, 1}, {2, 2, 2, 2}, 8 * std::log(4.0), 8);
  const LayerStats balanced = layer_stats(0, even.view());
  CHECK(balanced.load_entropy == Approx(1));
  CHECK(balanced.router_entropy == Approx(1));
  CHECK(balanced.variation == 0);
  CHECK(balanced.max_over_mean == Approx(1));

  Sums starved({100, 98, 2}, {1, 1, 1}, {1, 1, 1}, 0, 100);
  CHECK(layer_stats(0, starved.view()).nearly_dead == 1);
  CHECK(layer_stats(0, starved.view()).dead == 0);

  Sums single({7}, {7}, {7}, 0, 7);
  CHECK(layer_stats(0, single.view()).load_entropy == 1);
  CHECK(layer_stats(0, single.view()).max_over_mean == 1);

  Sums none({0, 0}, {0, 0}, {0, 0}, 0, 0);
  CHECK(layer_stats(0, none.view()).load == std::vector<double>{0, 0});
  CHECK(layer_stats(0, none.view()).dead == 2);
  CHECK(std::isfinite(layer_stats(0, none.view()).load_entropy));
}

TEST_CASE("a real model: shares sum to 1, norms are those of its parameters") {
  TrainConfig config;
  config.model.layers = 2;
  config.model.d_model = 16;
  config.model.attention.heads = 2;
  config.moe.experts = 4;
  config.data.sequence = 16;
  config.data.synthetic.train_tokens = config.data.synthetic.validation_tokens = 400;
  config.train.batch = 4;
  const Corpus corpus = Corpus::synthetic({});
  const ProcessGroups groups = ProcessGroups::single();
  const StateSetup setup{config, corpus.vocab_size(), groups, {1, 1, 1}, false};
  TrainingState state(setup, plan_memory(setup), true);
  evaluate(state, groups, corpus.split("validation"), {16, 16, 300, 4});
  REQUIRE(state.model->moe_layers().size() == 2);
  for (const MoELayer* layer : state.model->moe_layers()) {
    const LayerStats s = layer_stats(layer->layer(), layer->load());
    CHECK(s.assignments == 2 * 299);
    CHECK(sum(s.load) == Approx(1));
    CHECK(sum(s.importance) == Approx(1));
    CHECK(sum(s.probability) == Approx(1));
    CHECK(s.router_entropy > 0);
    CHECK(s.router_entropy <= 1 + 1e-9);

    const std::string name = fmt::format("blocks.{}.moe", layer->layer());
    const WeightNorms norms = weight_norms(state.ctx, state.parameters, *layer, groups);
    REQUIRE(norms.input.size() == 4);
    REQUIRE(norms.output.size() == 4);
    REQUIRE(norms.router.size() == 4);
    for (const Parameter& p : state.parameters.parameters()) {
      if (p.name != name + ".experts.{}.output.weight") continue;
      double squares = 0;
      const Tensor third = p.value.slice(2, 1);
      for (int64_t e = 0; e < third.size(); ++e) squares += std::pow(third.as<float>()[e], 2.0);
      CHECK(norms.output[2] == Approx(std::sqrt(squares)));
    }
  }
}
