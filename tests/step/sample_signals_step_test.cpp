// A training step's measurements of its samples, and a curriculum on real steps.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "data/curriculum/curriculum.h"
#include "data/synthetic.h"
#include "tests/step/allocation_counter.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 16;

static const char* kModel = R"(
seed: 3
model: {layers: 2, d_model: 24, attention: {heads: 3}, init_std: 0.1}
moe: {experts: 4, d_ff: 16, balance: []}
data: {sequence: 12}
train: {batch: 8}
curriculum: {signals: {loss: 1, confidence: 1, entropy: 1, expert_variance: 1, gradient: 1, router_entropy: 1}}
)";

static TrainConfig with(const std::string& yaml) {
  ConfigNode root = parse_config(kModel, "model");
  merge_config(root, parse_config(yaml, "case"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// Text of known difficulty: windows from sources of small and of large entropy. Sample s is from source s % 4.
struct GradedCorpus {
  GradedCorpus(int64_t num_samples, int64_t window) : samples(num_samples), length(window) {
    for (uint64_t source = 0; source < 4; ++source) {
      const SyntheticSource text(
          {.states = kVocab, .concentration = std::pow(8.0, static_cast<double>(source)) * 0.01, .seed = source + 1});
      tokens.push_back(text.generate(0, (samples / 4 + 1) * (length + 1)));
      entropy.push_back(text.entropy_rate());
    }
  }
  void load(std::span<const Drawn> drawn, RandomBatch& batch) const {
    for (size_t i = 0; i < drawn.size(); ++i) {
      const auto& source = tokens[as_index(drawn[i].sample % 4)];
      const int64_t begin = drawn[i].sample / 4 * (length + 1);
      for (int64_t t = 0; t < length; ++t) {
        batch.inputs[i * static_cast<size_t>(length) + static_cast<size_t>(t)] = source[as_index(begin + t)];
        batch.targets[i * static_cast<size_t>(length) + static_cast<size_t>(t)] = source[as_index(begin + t + 1)];
      }
      if (!batch.weights.empty()) batch.weights[i] = drawn[i].weight;
    }
  }

  int64_t samples, length;
  std::vector<std::vector<int32_t>> tokens;
  std::vector<double> entropy;
};

static double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  const auto ranks = [](const std::vector<double>& x) {
    std::vector<size_t> order(x.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return x[i] < x[j]; });
    std::vector<double> rank(x.size());
    for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<double>(i);
    return rank;
  };
  const auto ra = ranks(a), rb = ranks(b);
  const auto n = static_cast<double>(a.size());
  double squares = 0;
  for (size_t i = 0; i < ra.size(); ++i) squares += (ra[i] - rb[i]) * (ra[i] - rb[i]);
  return 1 - 6 * squares / (n * (n * n - 1));
}

TEST_CASE("a sample's signals do not depend on the other samples in the batch") {
  TinyRun whole(with("{}"), kVocab, ProcessGroups::single());
  const RandomBatch batch(whole.config, kVocab, 5);
  whole.accumulate(batch);
  const std::vector<double> expected(whole.step.sample_signals().begin(), whole.step.sample_signals().end());
  REQUIRE(expected.size() == 8 * kNumMeasuredSignals);
  for (size_t i = 0; i < expected.size(); ++i) {
    const bool is_known = i % kNumMeasuredSignals != index_of(SampleSignal::router_uncertainty);  // topk has none
    CHECK((expected[i] > 0) == is_known);
  }

  TinyRun alone(with("train: {batch: 1}"), kVocab, ProcessGroups::single());
  RandomBatch one(alone.config, kVocab, 5);
  for (size_t s = 0; s < 8; ++s) {
    std::copy_n(batch.inputs.begin() + static_cast<std::ptrdiff_t>(s) * 12, 12, one.inputs.begin());
    std::copy_n(batch.targets.begin() + static_cast<std::ptrdiff_t>(s) * 12, 12, one.targets.begin());
    const StepOutcome outcome = alone.accumulate(one);
    const auto signals = alone.step.sample_signals();
    CHECK(outcome.loss == Approx(expected[s * kNumMeasuredSignals]).epsilon(1e-5));
    for (size_t i = 0; i < kNumMeasuredSignals; ++i) {
      INFO(kSampleSignals[i].name << " of sample " << s);
      CHECK(signals[i] == Approx(expected[s * kNumMeasuredSignals + i]).epsilon(1e-5));
    }
  }
  for (const char* yaml : {"train: {micro_batches: 3}", "{train: {micro_batches: 2}, moe: {balance: [switch]}}"}) {
    TinyRun parts(with(yaml), kVocab, ProcessGroups::single());
    parts.accumulate(batch);
    for (size_t i = 0; i < expected.size(); ++i) {
      CHECK(parts.step.sample_signals()[i] == Approx(expected[i]).epsilon(1e-5));
    }
  }
  TinyRun none(with("curriculum: {signals: {loss: 0, confidence: 0, entropy: 0, expert_variance: 0, gradient: 0, "
                    "router_entropy: 0, router_uncertainty: 0}}"),
               kVocab, ProcessGroups::single());
  CHECK(none.accumulate(batch).loss == whole.accumulate(batch).loss);
  CHECK(none.step.sample_signals().empty());
}

TEST_CASE("the signal of the routers' uncertainty is the layers' mean, and needs a router that measures it") {
  TinyRun run(
      with("{moe: {router: {kind: bayesian, posterior: ensemble}}, curriculum: {signals: {router_uncertainty: 1}}}"),
      kVocab, ProcessGroups::single());
  run.accumulate(RandomBatch(run.config, kVocab, 5));
  double signals = 0, layers = 0;
  for (size_t s = 0; s < 8; ++s) {
    signals += run.step.sample_signals()[s * kNumMeasuredSignals + index_of(SampleSignal::router_uncertainty)] / 8;
  }
  for (const MoELayer* layer : run.state.model->moe_layers()) {
    layer->for_each_measure([&](const std::string& name, const std::optional<double>& value) {
      if (name == kRouterUncertainty) layers += value.value() / 2;
    });
  }
  CHECK(signals > 0);
  CHECK(signals == Approx(layers));
  CHECK_THROWS_WITH(TinyRun(with("curriculum: {signals: {router_uncertainty: 1}}"), kVocab, ProcessGroups::single()),
                    Catch::Contains("router_uncertainty") && Catch::Contains("bayesian"));
}

TEST_CASE("signals of experts need experts") {
  for (const char* signal : {"router_entropy", "expert_variance", "router_uncertainty"}) {
    const TrainConfig config =
        config_from(fmt::format("{{model: {{arrangement: dense}}, curriculum: {{signals: {{{}: 1}}}}}}", signal));
    CHECK_THROWS_AS(summarise(config, kVocab), UsageError);
    TrainConfig whole = config;
    const ProcessGroups groups = ProcessGroups::single();
    CHECK_THROWS_AS(plan_memory({whole, kVocab, groups}), UsageError);
  }
}

TEST_CASE("weights make the gradient the weighted sum of the samples' gradients") {
  TinyRun run(with("train: {batch: 4}"), kVocab, ProcessGroups::single(), DType::f64);
  RandomBatch batch(run.config, kVocab, 5);
  std::map<std::string, std::vector<double>> sum;
  const std::vector<double> weights{0.3, 2, 1, 0.1};
  for (size_t s = 0; s < 4; ++s) {
    batch.weights.assign(4, 0);
    batch.weights[s] = 1;
    run.clear_gradients();
    run.accumulate(batch);
    for (const auto& [name, gradient] : named_gradients(run)) {
      auto& total = sum[name];
      total.resize(gradient.size());
      for (size_t i = 0; i < gradient.size(); ++i) total[i] += weights[s] * gradient[i];
    }
  }
  batch.weights = weights;
  run.clear_gradients();
  const double loss = run.accumulate(batch).loss;
  for (const auto& [name, gradient] : named_gradients(run)) {
    INFO(name);
    for (size_t i = 0; i < gradient.size(); ++i) CHECK(gradient[i] == Approx(sum[name][i]).epsilon(1e-9).margin(1e-12));
  }
  batch.weights.clear();
  run.clear_gradients();
  CHECK(run.accumulate(batch).loss == loss);  // the reported loss is not weighted
}

TEST_CASE("the bound on the gradient ranks samples like their exact gradient norms") {
  TrainConfig config = with("{data: {sequence: 64}, train: {batch: 16}}");
  TinyRun run(config, kVocab, ProcessGroups::single());
  const GradedCorpus corpus(400, config.data.sequence);
  RandomBatch batch(config, kVocab, 5);
  std::vector<Drawn> drawn(16);
  for (int64_t step = 0; step < 600; ++step) {
    for (size_t i = 0; i < 16; ++i) drawn[i].sample = (step * 16 + static_cast<int64_t>(i)) * 7 % 400;
    corpus.load(drawn, batch);
    run.run(batch, step, 3e-3);
  }
  TinyRun alone(with("{data: {sequence: 64}, train: {batch: 1}}"), kVocab, ProcessGroups::single());
  for (const ParameterGroup group : kParameterGroups) {
    const Tensor from = run.state.parameters.buffer(group).value, to = alone.state.parameters.buffer(group).value;
    if (from) std::copy_n(from.as<float>(), from.size(), to.as<float>());
  }
  RandomBatch one(alone.config, kVocab, 5);
  std::vector<double> bounds, norms;
  for (int64_t s = 0; s < 160; ++s) {
    drawn.assign(1, Drawn{(s * 5 + 1) % 400});
    corpus.load(drawn, one);
    alone.clear_gradients();
    norms.push_back(alone.accumulate(one).norm);
    bounds.push_back(alone.step.sample_signals()[index_of(SampleSignal::gradient)]);
  }
  INFO("Spearman " << spearman(bounds, norms));
  CHECK(spearman(bounds, norms) >= 0.8);
}

static const char* kCurricula[] = {
    "curriculum: {sampler: {kind: buckets, pacing: {kind: linear, start: 0.3}, revisit: 0.1}}",
    "curriculum: {sampler: importance}",
};

struct CurriculumRun {
  CurriculumRun(const TrainConfig& c, const GradedCorpus& text, ProcessGroups groups)
      : corpus(text),
        run(c, kVocab, std::move(groups)),
        curriculum({run.config.curriculum, corpus.samples, run.config.train.batch, 3, RunLength{100, 1, 1}, "graded"},
                   ""),
        batch(run.config, kVocab, 5) {
    if (draws_weights(run.config.curriculum)) batch.weights.resize(static_cast<size_t>(run.config.train.batch));
  }
  double step(int64_t update) {
    const auto drawn = curriculum.draw(update);
    for (const Drawn& d : drawn) samples.push_back(d.sample);
    corpus.load(drawn, batch);
    const double loss = run.run(batch, update, 3e-3).loss;
    curriculum.observe(update, run.step.sample_signals());
    return loss;
  }
  std::string store() const {
    std::string bytes;
    curriculum.write([&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); });
    return bytes;
  }

  const GradedCorpus& corpus;
  TinyRun run;
  Curriculum curriculum;
  RandomBatch batch;
  std::vector<int64_t> samples;
};

TEST_CASE("a curriculum on a corpus of known difficulty finds the easy and the hard samples") {
  const GradedCorpus corpus(400, 12);
  REQUIRE(corpus.entropy[0] < corpus.entropy[1] - 0.2);
  REQUIRE(corpus.entropy[2] < corpus.entropy[3] - 0.2);
  CurriculumRun run(with(kCurricula[0]), corpus, ProcessGroups::single());
  for (int64_t step = 0; step < 150; ++step) run.step(step);
  std::array<double, 4> rank{}, seen{};
  for (int64_t s = 0; s < corpus.samples; ++s) {
    if (!run.curriculum.store().is_seen(s)) continue;
    rank[as_index(s % 4)] += run.curriculum.store().rank(s);
    seen[as_index(s % 4)] += 1;
  }
  for (size_t source = 0; source < 4; ++source) {
    REQUIRE(seen[source] > 50);
    INFO(source << ": mean rank " << rank[source] / seen[source]);
    // After so few updates nothing beyond the last source but one is learned: the last two are equally hard for the
    // model.
    const size_t easier = source == 3 ? 1 : source - 1;
    if (source > 0) CHECK(rank[source] / seen[source] > rank[easier] / seen[easier] + 0.05);
  }
}

TEST_CASE("1, 2 and 4 ranks draw the same batches and keep the same store") {
  const GradedCorpus corpus(200, 12);
  for (const char* yaml : kCurricula) {
    for (const int64_t batch : {8, 3}) {
      INFO(yaml << ", batch " << batch);
      const TrainConfig config = with(fmt::format("{{train: {{batch: {}}}, {}}}", batch, yaml));
      CurriculumRun reference(config, corpus, ProcessGroups::single());
      std::vector<double> losses;
      for (int64_t step = 0; step < 25; ++step) losses.push_back(reference.step(step));
      for (const int ranks : {2, 4}) {
        std::vector<std::unique_ptr<CurriculumRun>> runs(static_cast<size_t>(ranks));
        std::vector<std::vector<double>> found(static_cast<size_t>(ranks));
        test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
          const auto rank = static_cast<size_t>(world->rank());
          runs[rank] = std::make_unique<CurriculumRun>(config, corpus, ProcessGroups::make(world, 2, 4));
          for (int64_t step = 0; step < 25; ++step) found[rank].push_back(runs[rank]->step(step));
        });
        for (int rank = 0; rank < ranks; ++rank) {
          const auto r = static_cast<size_t>(rank);
          CHECK(runs[r]->samples == reference.samples);
          CHECK(runs[r]->store() == runs[0]->store());
          const DifficultyStore &store = runs[r]->curriculum.store(), &expected = reference.curriculum.store();
          CHECK(store.seen() == expected.seen());
          for (int64_t s = 0; s < corpus.samples; ++s) {
            REQUIRE(store.is_seen(s) == expected.is_seen(s));
            // They differ by at most one code, because the order of a reduction can change the rounding of the last
            // bits.
            if (store.is_seen(s)) CHECK(store.score(s) == Approx(expected.score(s)).epsilon(0.01).margin(0.01));
          }
          for (size_t step = 0; step < losses.size(); ++step) {
            CHECK(found[r][step] == Approx(losses[step]).epsilon(1e-4));
          }
        }
      }
    }
  }
}

TEST_CASE("weighted and measured gradients do not depend on ranks and micro-batches") {
  const TrainConfig one = with("{curriculum: {sampler: importance}}");
  TinyRun reference(one, kVocab, ProcessGroups::single());
  RandomBatch batch(one, kVocab, 5);
  batch.weights = {0.5, 2, 1, 1, 0.1, 3, 0.7, 1};
  reference.accumulate(batch);
  const auto expected = named_gradients(reference);
  const std::vector<double> signals(reference.step.sample_signals().begin(), reference.step.sample_signals().end());
  for (const int ranks : {2, 4}) {
    for (const int micro_batches : {1, 2}) {
      const TrainConfig config =
          with(fmt::format("{{train: {{micro_batches: {}}}, curriculum: {{sampler: importance}}}}", micro_batches));
      std::vector<std::map<std::string, std::vector<double>>> gradients(static_cast<size_t>(ranks));
      std::vector<std::vector<double>> found(static_cast<size_t>(ranks));
      test::run_ranks(ranks, [&](std::shared_ptr<Communicator> world) {
        const auto rank = static_cast<size_t>(world->rank());
        TinyRun run(config, kVocab, ProcessGroups::make(world, 2, 4));
        run.accumulate(batch);
        gradients[rank] = named_gradients(run);
        found[rank].assign(run.step.sample_signals().begin(), run.step.sample_signals().end());
      });
      for (size_t rank = 0; rank < gradients.size(); ++rank) {
        CHECK(found[rank] == found[0]);
        for (size_t i = 0; i < signals.size(); ++i) CHECK(found[rank][i] == Approx(signals[i]).epsilon(1e-4));
        for (const auto& [name, gradient] : gradients[rank]) {
          INFO(name << " on " << ranks << " ranks");
          const auto& want = expected.at(name);
          double largest = 0;
          for (const double g : want) largest = std::max(largest, std::abs(g));
          for (size_t i = 0; i < gradient.size(); ++i) CHECK(gradient[i] == Approx(want[i]).margin(1e-5 * largest));
        }
      }
    }
  }
}

TEST_CASE("a step that measures its samples allocates nothing after the first, and uses the planned memory") {
  TinyRun run(with("{train: {micro_batches: 2}, curriculum: {sampler: importance}}"), kVocab, ProcessGroups::single());
  RandomBatch batch(run.config, kVocab, 5);
  batch.weights.assign(8, 1.5);
  run.run(batch, 0, 1e-3);
  CHECK(allocations_during([&] {
          for (int64_t i = 1; i < 4; ++i) run.run(batch, i, 1e-3);
        }) == 0);
  const MemoryPlan plan = plan_memory({run.config, kVocab, run.groups});
  CHECK(run.state.activations().peak() == plan.activations);
  CHECK(run.state.scratch().peak() == plan.scratch);
}
