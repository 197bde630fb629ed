// The model of pairs: its losses, their independence of ranks and micro-batches, and the gallery of an evaluation.
#include "core/model/pair_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/base/token.h"
#include "core/config/config_reader.h"
#include "tests/model/padding_cases.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 11;

static TrainConfig with(const std::string& yaml) {
  ConfigNode root = parse_config(
      "{task: pairs, model: {layers: 2, d_model: 16, init_std: 0.3, attention: {heads: 2, causal: false}, contrast: "
      "{width: 6}}, moe: {experts: 4, d_ff: 16, balance: [switch, z]}, data: {sequence: 7}, train: {batch: 9}}",
      "base");
  merge_config(root, parse_config(yaml, "case"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

TEST_CASE("gallery: losses, ranks and classification equal those by hand") {
  Gallery gallery;
  gallery.clear(4, 2);
  const std::vector<double> right{1, 0}, up{0, 1}, slope{0.6, 0.8};
  gallery.set(0, right, slope, 0);
  gallery.set(1, up, right, 1);
  gallery.set(2, slope, up, 0);
  const std::vector<ComparedSample> results = gallery.compare(0, 4, 2);
  const auto softplus = [](double x) { return std::log1p(std::exp(x)); };
  // Sample 0: its hits score 2 * 0.6 and 0, the other class 2 * 1.
  CHECK(results[0].loss[0] == Approx((softplus(2 - 1.2) + softplus(2)) / 2));
  CHECK_FALSE(results[0].nearest[0]);
  CHECK(results[0].among_five[0]);
  // Back: its text scores 1.2 and 2 with the images of its class, and 1.6 with the other.
  CHECK(results[0].loss[1] == Approx((softplus(1.6 - 1.2) + softplus(1.6 - 2)) / 2));
  CHECK(results[0].nearest[1]);
  CHECK_FALSE(results[0].classified);  // the mean text of class 0 is (0.6, 1.8) / |...|
  CHECK(results[2].classified);
  CHECK_FALSE(results[3].counts);  // it was never set
  CHECK(results[1].counts);
}

TEST_CASE("pairs: the losses of a step equal those of the gallery, and its accuracy is recall at 1") {
  for (const char* yaml : {"{}", "train: {micro_batches: 4}", "model: {contrast: {temperature: 0.01}}"}) {
    INFO(yaml);
    TinyRun run(with(yaml), kVocab, ProcessGroups::single(), DType::f64);
    const StepOutcome outcome = run.accumulate(RandomBatch(run.config, kVocab, 5));
    const std::vector<ComparedSample> compared = run.state.model->compared(0, 9);
    double loss = 0, nearest = 0;
    for (const ComparedSample& sample : compared) {
      loss += (sample.loss[0] + sample.loss[1]) / 18;
      nearest += (sample.nearest[0] + sample.nearest[1]) / 18.0;
    }
    CHECK(outcome.loss == Approx(loss).epsilon(1e-12));
    CHECK(outcome.accuracy == Approx(nearest));
    CHECK(loss > 0.01);
  }
}

TEST_CASE("pairs: neither ranks nor micro-batches change losses or gradients") {
  const char* yaml =
      "{model: {dropout: 0.2}, moe: {modality_bias: true, balance: [{kind: entropy_local, modality: second}, {kind: "
      "entropy_global, modality: first, coefficient: 1}, {kind: switch, modality: first}]}}";
  TinyRun one(with(yaml), kVocab, ProcessGroups::single(), DType::f64);
  const RandomBatch batch(one.config, kVocab, 5);
  const StepOutcome expected = one.accumulate(batch, 3);
  const auto gradients = named_gradients(one);
  for (const int ranks : {1, 2, 4}) {
    for (const int micro_batches : {1, 2, 5}) {
      for (const int experts : {1, ranks}) {
        INFO(ranks << " ranks, " << micro_batches << " micro-batches, experts over " << experts);
        std::mutex mutex;
        std::vector<StepOutcome> outcomes;
        std::map<std::string, double> distances;
        test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
          TrainConfig config = with(yaml);
          config.train.micro_batches = micro_batches;
          TinyRun run(config, kVocab, ProcessGroups::make(std::move(world), experts, 4), DType::f64);
          const StepOutcome outcome = run.accumulate(batch, 3);
          const auto own = named_gradients(run);
          const std::lock_guard lock(mutex);
          outcomes.push_back(outcome);
          for (const auto& [name, gradient] : own) {
            if (gradients.contains(name))
              distances[name] = std::max(distances[name], distance(gradient, gradients.at(name)));
          }
        });
        for (const StepOutcome& outcome : outcomes) {
          CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-12));
          CHECK(outcome.accuracy == Approx(expected.accuracy));
          CHECK(outcome.auxiliary == Approx(expected.auxiliary).epsilon(1e-12));
          CHECK(outcome.norm == Approx(expected.norm).epsilon(1e-9));
          CHECK(outcome.tokens == Approx(expected.tokens));
        }
        CHECK(distances.contains("contrast.log_scale"));
        for (const auto& [name, difference] : distances) {
          INFO(name);
          CHECK(difference < 1e-9);
        }
      }
    }
  }
}

TEST_CASE("pairs without a class are compared with none and have no loss") {
  TinyRun run(with("{}"), kVocab, ProcessGroups::single(), DType::f64);
  RandomBatch batch(run.config, kVocab, 5);
  batch.labels[4] = kIgnoreTarget;
  const StepOutcome without = run.accumulate(batch);
  // Whatever the pair shows, the others' losses are the same.
  const auto each = static_cast<size_t>(std::ssize(batch.features) / batch.sequences);
  for (size_t i = 4 * each; i < 5 * each; ++i) batch.features[i] += 3;
  CHECK(run.accumulate(batch).loss == without.loss);
  CHECK_FALSE(run.state.model->compared(4, 1)[0].counts);
}

TEST_CASE("pairs: the padding of their sequences changes neither losses nor gradients") {
  for (const char* yaml : {"{}", "model: {pooling: last, attention: {causal: true}}",
                           "moe: {capacity: {kind: fixed, factor: 0.7}, balance: [{kind: switch, scope: sequence}]}"}) {
    INFO(yaml);
    TinyRun run(with(yaml), kVocab, ProcessGroups::single(), DType::f64);
    RandomBatch padded(run.config, kVocab, 5);
    // Sequences of at most 6 tokens in 7 places, and the same in 6.
    RandomBatch tight = padded;
    tight.time = 12;
    for (std::vector<int32_t> RandomBatch::*array : {&RandomBatch::inputs, &RandomBatch::targets}) {
      (tight.*array).clear();
      for (size_t place = 0; place < (padded.*array).size(); ++place) {
        if (place % 7 < 6) (tight.*array).push_back((padded.*array)[place]);
        if (place % 7 == 6 && array == &RandomBatch::targets) padded.targets[place] = kIgnoreTarget;
      }
    }
    for (RandomBatch* batch : {&padded, &tight}) {
      for (int32_t& length : batch->lengths) length = std::min(length, 6);
    }
    const StepOutcome expected = run.accumulate(tight);
    const auto gradients = named_gradients(run);
    run.clear_gradients();
    const StepOutcome outcome = run.accumulate(padded);
    CHECK(outcome.loss == Approx(expected.loss).epsilon(1e-12));
    CHECK(outcome.auxiliary == Approx(expected.auxiliary).epsilon(1e-12));
    CHECK(outcome.tokens == Approx(expected.tokens));
    for (const auto& [name, gradient] : named_gradients(run)) {
      INFO(name);
      CHECK(distance(gradient, gradients.at(name)) < 1e-10);
    }
  }
}

TEST_CASE("every router, strategy, capacity and balance loss takes pairs, or refuses token ids") {
  for (const std::string& yaml : test::padding_cases()) {
    INFO(yaml);
    const bool needs_ids = yaml.find("hash") != std::string::npos || yaml.find("kind: stable}}") != std::string::npos;
    const bool replays = yaml.find("replay") != std::string::npos;
    if (replays) continue;  // it needs a traced run
    try {
      TinyRun run(with(yaml), kVocab, ProcessGroups::single());
      for (int64_t step = 0; step < 2; ++step) {
        const StepOutcome outcome = run.run(RandomBatch(run.config, kVocab, 5), step, 1e-3);
        CHECK(outcome.finite());
        CHECK(outcome.norm > 0);
      }
      CHECK_FALSE(needs_ids);
    } catch (const UsageError& error) {
      INFO(error.what());
      CHECK(needs_ids);
      CHECK_THAT(error.what(), Catch::Contains("token ids"));
    }
  }
}

TEST_CASE("every router learns a bias per modality, or says why not") {
  for (const std::string& kind : family<Router>().names()) {
    INFO(kind);
    if (kind == "replay") continue;  // it needs a traced run
    const TrainConfig config = with(fmt::format("moe: {{modality_bias: true, router: {{kind: {}{}}}}}", kind,
                                                kind == "hierarchical" ? ", groups: 2" : ""));
    const bool learns = kind != "hash" && kind != "random" && kind != "uniform" && kind != "random_frozen";
    try {
      TinyRun run(config, kVocab, ProcessGroups::single(), DType::f64);
      run.accumulate(RandomBatch(config, kVocab, 5));
      double largest = 0;
      for (const double g : named_gradients(run).at("blocks.0.moe.router.modality_bias"))
        largest = std::max(largest, std::abs(g));
      CHECK(learns);
      CHECK(largest > 1e-9);
    } catch (const UsageError& error) {
      INFO(error.what());
      CHECK((!learns || kind == "stable"));
      CHECK_THAT(error.what(), Catch::Contains("modality_bias") || Catch::Contains("token ids"));
    }
  }
  CHECK_THROWS_AS(TinyRun(config_from("moe: {modality_bias: true}"), kVocab, ProcessGroups::single()), UsageError);
  CHECK_THROWS_AS(TinyRun(config_from("moe: {balance: [{kind: z, modality: first}]}"), kVocab, ProcessGroups::single()),
                  UsageError);
}

TEST_CASE("the loads of the modalities add up to the load of all tokens") {
  TinyRun run(with("{}"), kVocab, ProcessGroups::single());
  run.accumulate(RandomBatch(run.config, kVocab, 5));
  for (const MoELayer* layer : run.state.model->moe_layers()) {
    const LoadStats& load = layer->load();
    REQUIRE(load.by_modality.size() == 8);
    for (size_t e = 0; e < 4; ++e) CHECK(load.by_modality[e] + load.by_modality[4 + e] == load.counts[e]);
    double images = 0;
    for (size_t e = 0; e < 4; ++e) images += load.by_modality[e];
    CHECK(images == 2 * 9 * 6);  // two experts for each of six patches
    CHECK(load.modality_shares().size() == 2);
  }
}

TEST_CASE("a small model of pairs learns to retrieve its training pairs") {
  TinyRun run(with("{model: {init_std: 0.1}, train: {batch: 24}}"), kVocab, ProcessGroups::single());
  const RandomBatch batch(run.config, kVocab, 5);
  double accuracy = 0;
  for (int64_t i = 0; i < 150; ++i) accuracy = run.run(batch, i, 5e-3).accuracy;
  CHECK(accuracy == 1);
}
