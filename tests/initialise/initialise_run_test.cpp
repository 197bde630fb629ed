// Initialisation of weights before step 0: clusters and Reptile, on a tiny model.
#include "core/initialise/initialise_run.h"
#include "core/base/integer.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <set>

#include "core/initialise/exact_values.h"
#include "core/initialise/perturbation.h"
#include "tests/support/catch.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 19;

static TrainConfig config_of(const std::string& moe, const std::string& init, const std::string& model = "") {
  return config_from(fmt::format(
      "{{model: {{layers: 2, d_model: 16, attention: {{heads: 2}}, init_std: 0.2{}}}, data: {{sequence: 8}}, "
      "train: {{batch: 4, steps: 100}}, moe: {{d_ff: 12, {}}}, init: {{{}}}}}",
      model, moe, init));
}

// Random batches, of which each rank takes its slice.
struct RandomSource {
  explicit RandomSource(TinyRun& r) : run(r) {}
  LocalBatch load(uint64_t seed, int64_t index) {
    batches.emplace_back(run.config, kVocab, seed, static_cast<uint64_t>(index));
    return batches.back().share(*run.groups.world);
  }
  TinyRun& run;
  std::deque<RandomBatch> batches;
};

static ClusterReport cluster(TinyRun& run, const std::set<std::string>& upcycled = {}) {
  RandomSource source(run);
  return start_from_clusters(run.state, run.config, run.groups, upcycled,
                             [&](int64_t index) { return source.load(3, index); });
}

static ReptileReport meta_learn(TinyRun& run) {
  RandomSource source(run);
  return start_by_reptile(run.state, run.step, run.config, [&](int64_t domain, int64_t index) {
    return source.load(100 + static_cast<uint64_t>(domain), index);
  });
}

// Each expert's share of a layer's assignments on the clustered batches, at evaluation.
static std::vector<double> shares(TinyRun& run, size_t layer, int64_t batches) {
  std::vector<double> counts;
  Context& ctx = run.state.ctx;
  ctx.training = false;
  RoutingRecord record;
  run.state.model->moe_layers()[layer]->record_choices(&record);
  for (int64_t i = 0; i < batches; ++i) {
    const RandomBatch batch(run.config, kVocab, 3, static_cast<uint64_t>(i));
    ctx.activations->reset();
    ctx.scratch->reset();
    BatchBuffers buffers;
    const LocalBatch local = batch.share(*run.groups.world);
    run.state.model->forward(ctx, to_device(ctx, local, {0, local.sequences}, 8, buffers));
  }
  run.state.model->moe_layers()[layer]->record_choices(nullptr);
  counts.resize(static_cast<size_t>(run.config.moe.experts));
  for (const int32_t e : record.chosen) counts[as_index(e)] += 1;
  return counts;
}

TEST_CASE("after clustering each expert gets its cluster's tokens, with every router that has directions") {
  int refused = 0;
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    TinyRun run(config_of("experts: 4, router: " + router.name, "clusters: {tokens: 128}"), kVocab,
                ProcessGroups::single());
    const ExpertDirections directions = run.state.model->moe_layers()[0]->traits().directions;
    if (!directions.rows) {
      CHECK_THROWS_WITH(cluster(run), Catch::Contains(router.name) && Catch::Contains(directions.why_none));
      ++refused;
      continue;
    }
    const ClusterReport report = cluster(run);
    CHECK(report.tokens == 128);
    REQUIRE(report.layers.size() == 2);
    for (const LayerClusters& layer : report.layers) {
      CHECK(std::accumulate(layer.sizes.begin(), layer.sizes.end(), int64_t{0}) == 128);
      CHECK(layer.mean_cosine > 0.3);
    }
  }
  CHECK(refused == 6);  // hash, random, uniform, hierarchical, hyper, mlp
  // One expert per token, so the loads are the clusters' sizes. The source's stable is evaluated by its distilled
  // router.
  for (const char* router :
       {"{kind: topk, k: 1, softmax: all, renormalise: false}", "switch", "{kind: stable, form: ours}",
        "{kind: perturbed_cosine, k: 1, softmax: all, renormalise: false}"}) {
    INFO(router);
    TinyRun run(config_of(fmt::format("experts: 4, router: {}", router), "clusters: {tokens: 128}"), kVocab,
                ProcessGroups::single());
    const ClusterReport report = cluster(run);
    for (size_t layer = 0; layer < 2; ++layer) {
      const std::vector<double> counts = shares(run, layer, 4);
      for (size_t e = 0; e < 4; ++e) CHECK(counts[e] == static_cast<double>(report.layers[layer].sizes[e]));
    }
  }
}

TEST_CASE("a clustered router's rows have the norm of fresh ones, times the scale") {
  for (const double scale : {1.0, 2.5}) {
    TinyRun run(config_of("experts: 4", fmt::format("clusters: {{tokens: 100, scale: {}}}", scale)), kVocab,
                ProcessGroups::single());
    const ClusterReport report = cluster(run);
    CHECK(report.tokens == 128);  // whole batches
    const std::vector<double> rows = named_values(run).at("blocks.1.moe.router.weight");
    const double squares = std::inner_product(rows.begin(), rows.end(), rows.begin(), 0.0);
    CHECK(std::sqrt(squares / 64) == Approx(0.2 * scale).epsilon(1e-5));
    CHECK(report.layers[1].logit_deviation > 0.1 * scale);
  }
}

TEST_CASE("padding is not a token of a cluster, for any batch length") {
  // Four texts of 1 to 6 tokens, padded to the longest of them or to the maximum length.
  struct Texts {
    explicit Texts(int64_t index, bool full) {
      const RandomKey key{5, RandomPurpose::test, 0, static_cast<uint64_t>(index)};
      for (uint64_t s = 0; s < 4; ++s) lengths.push_back(static_cast<int32_t>(1 + key.bits(s) % 6));
      time = full ? 8 : *std::max_element(lengths.begin(), lengths.end());
      for (uint64_t s = 0; s < 4; ++s) {
        for (int32_t t = 0; t < time; ++t) {
          const auto token = static_cast<int32_t>(key.bits(100 * (s + 1) + static_cast<uint64_t>(t)) % kVocab);
          inputs.push_back(t < lengths[s] ? token : kPaddingToken);
          targets.push_back(kIgnoreTarget);
        }
      }
    }
    int64_t time = 0;
    std::vector<int32_t> lengths, inputs, targets;
  };
  std::vector<ClusterReport> reports;
  for (const bool full : {false, true}) {
    TinyRun run(config_of("experts: 4", "clusters: {tokens: 100}"), kVocab, ProcessGroups::single());
    std::deque<Texts> texts;
    int64_t counted = 0;
    reports.push_back(start_from_clusters(run.state, run.config, run.groups, {}, [&](int64_t index) {
      const Texts& t = texts.emplace_back(index, full);
      if (texts.size() == static_cast<size_t>(index) + 1)  // the first layer's
        counted += std::accumulate(t.lengths.begin(), t.lengths.end(), int64_t{0});
      LocalBatch batch{4, t.time, t.inputs, t.targets, 0, 4};
      batch.lengths = t.lengths;
      return batch;
    }));
    CHECK(reports.back().tokens == counted);
    CHECK(counted >= 100);
  }
  for (size_t layer = 0; layer < 2; ++layer) {
    CHECK(reports[0].layers[layer].sizes == reports[1].layers[layer].sizes);
    CHECK(reports[0].layers[layer].mean_cosine == Approx(reports[1].layers[layer].mean_cosine));
  }
}

TEST_CASE("the rows of expert matrices point to tokens of the cluster and keep their lengths") {
  TinyRun fresh(config_of("experts: 4", "clusters: {tokens: 128}"), kVocab, ProcessGroups::single());
  TinyRun turned(config_of("experts: 4", "clusters: {tokens: 128, experts: tokens}"), kVocab, ProcessGroups::single());
  cluster(fresh);
  cluster(turned);
  const auto before = named_values(fresh), after = named_values(turned);
  CHECK(before.at("blocks.0.moe.router.weight") == after.at("blocks.0.moe.router.weight"));
  for (int e = 0; e < 4; ++e) {
    const std::string name = fmt::format("blocks.0.moe.experts.{}.input.weight", e);
    const std::vector<double>&x = before.at(name), &y = after.at(name);
    CHECK(x != y);
    for (size_t row = 0; row < x.size() / 16; ++row) {
      const auto length = [&](const std::vector<double>& m) {
        return std::inner_product(&m[row * 16], &m[row * 16] + 16, &m[row * 16], 0.0);
      };
      CHECK(length(y) == Approx(length(x)).epsilon(1e-5));
      // In the direction of the cluster: the router's row of the expert is the centroid minus the mean.
      const double* own = &after.at("blocks.0.moe.router.weight")[static_cast<size_t>(e) * 16];
      CHECK(std::inner_product(own, own + 16, &y[row * 16], 0.0) > 0);
    }
    CHECK(before.at(fmt::format("blocks.0.moe.experts.{}.output.weight", e)) ==
          after.at(fmt::format("blocks.0.moe.experts.{}.output.weight", e)));
  }
}

TEST_CASE("the units of an upcycled layer that a cluster uses least are re-drawn") {
  TinyRun run(config_of("experts: 3", "clusters: {tokens: 128}, reinitialise: 0.25", ", activation: relu"), kVocab,
              ProcessGroups::single());
  // Unit u of every expert has no input when u is a multiple of four, so these units must be re-drawn.
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find("experts.{}.input") == std::string::npos) continue;
    std::vector<float> values = exact_values(run.state, p);
    for (size_t i = 0; i < values.size(); ++i) {
      if (i / 16 % 12 % 4 == 0) values[i] = 0;
    }
    set_exact_values(run.state, p, values);
  }
  const auto before = named_values(run);
  cluster(run, {"blocks.1.moe"});
  const auto after = named_values(run);
  for (int e = 0; e < 3; ++e) {
    const std::string expert = fmt::format(".moe.experts.{}.", e);
    CHECK(after.at("blocks.0" + expert + "input.weight") == before.at("blocks.0" + expert + "input.weight"));
    for (const bool is_output : {false, true}) {
      const std::string name = "blocks.1" + expert + (is_output ? "output.weight" : "input.weight");
      for (size_t i = 0; i < after.at(name).size(); ++i) {
        const size_t unit = is_output ? i % 12 : i / 16 % 12;
        CHECK((after.at(name)[i] != before.at(name)[i]) == (unit % 4 == 0));
      }
    }
  }
}

TEST_CASE("clusters need experts, enough tokens and a strategy with one router") {
  const auto refused = [](const std::string& moe, const std::string& init, const std::string& more = "") {
    CHECK_THROWS_AS(check_clusters(config_of(moe, init, more), SampleShape(kVocab), kSomeRun), UsageError);
  };
  refused("experts: 4", "clusters: {tokens: 3}");
  refused("experts: 4", "clusters: {tokens: 64}", ", arrangement: dense");
  refused("experts: 4, strategy: {kind: hierarchical}", "clusters: {tokens: 64}");
}

TEST_CASE("clusters and Reptile give the same on any number of ranks") {
  const TrainConfig config = config_of(
      "experts: 4", "clusters: {tokens: 128, experts: tokens}, reptile: {rounds: 2, domains: 2, parameters: all}");
  TinyRun one(config, kVocab, ProcessGroups::single());
  const ClusterReport report = cluster(one);
  const ReptileReport learned = meta_learn(one);
  const auto expected = named_values(one);
  for (const auto& [ranks, expert] : {std::pair{2, 1}, {2, 2}, {4, 2}, {4, 4}}) {
    INFO(ranks << " ranks, experts over " << expert);
    std::vector<std::map<std::string, std::vector<double>>> found(static_cast<size_t>(ranks));
    std::vector<std::vector<int64_t>> sizes(static_cast<size_t>(ranks));
    std::vector<double> losses(static_cast<size_t>(ranks));
    test::run_ranks(ranks, [&, ep = expert](std::shared_ptr<Communicator> world) {
      const auto rank = static_cast<size_t>(world->rank());
      TinyRun run(config, kVocab, ProcessGroups::make(world, ep, config.moe.experts));
      sizes[rank] = cluster(run).layers[1].sizes;
      losses[rank] = meta_learn(run).last_loss;
      found[rank] = named_values(run);
    });
    for (size_t rank = 0; rank < found.size(); ++rank) {
      CHECK(sizes[rank] == report.layers[1].sizes);
      CHECK(losses[rank] == Approx(learned.last_loss).epsilon(1e-5));
      for (const auto& [name, values] : found[rank]) {
        INFO(name);
        CHECK(distance(values, expected.at(name)) < 1e-4);
      }
    }
  }
}

TEST_CASE("Reptile with one domain and a step size of 1 is gradient descent") {
  for (const char* parameters : {"experts", "all"}) {
    INFO(parameters);
    const TrainConfig config =
        config_of("experts: 4, balance: [switch]",
                  fmt::format("reptile: {{rounds: 1, domains: 1, inner_steps: 3, inner_rate: 0.1, step_size: 1, "
                              "parameters: {}}}",
                              parameters));
    TinyRun run(config, kVocab, ProcessGroups::single()), plain(config, kVocab, ProcessGroups::single());
    const ReptileReport report = meta_learn(run);
    CHECK(report.tokens == 3 * 4 * 8);
    for (int64_t i = 0; i < 3; ++i) {
      plain.accumulate(RandomBatch(config, kVocab, 100, static_cast<uint64_t>(i)));
      for (const ParameterGroup group : kTrainedGroups) {
        if (group == ParameterGroup::shared && std::string(parameters) == "experts") continue;
        const ParameterBuffer& buffer = plain.state.parameters.buffer(group);
        for (int64_t j = 0; j < buffer.value.size(); ++j)
          buffer.value.as<float>()[j] += -0.1f * buffer.gradient.as<float>()[j];
      }
      plain.clear_gradients();
    }
    const auto found = named_values(run);
    for (const auto& [name, values] : named_values(plain)) {
      INFO(name);
      CHECK(distance(found.at(name), values) < 1e-7);
    }
  }
}

TEST_CASE("Reptile with a step size of 0 changes nothing, and with 1 gives the mean of the domains") {
  const auto config = [](int domains, double step_size, double rate = 0.1) {
    return config_of("experts: 4", fmt::format("reptile: {{rounds: 1, domains: {}, inner_steps: 2, inner_rate: {}, "
                                               "step_size: {}}}",
                                               domains, rate, step_size));
  };
  TinyRun fresh(config(2, 0), kVocab, ProcessGroups::single()), still(config(2, 0), kVocab, ProcessGroups::single());
  meta_learn(still);
  CHECK(named_values(still) == named_values(fresh));
  CHECK(still.state.ctx.seed == fresh.state.ctx.seed);
  for (const auto& [name, values] : named_gradients(still)) {
    for (const double g : values) CHECK(g == 0);
  }
  // A step size of 0.5 ends halfway between the start and the end with a step size of 1: (a + b) / 2.
  TinyRun half(config(2, 0.5), kVocab, ProcessGroups::single()), whole(config(2, 1), kVocab, ProcessGroups::single());
  meta_learn(half);
  meta_learn(whole);
  const auto start = named_values(fresh), middle = named_values(half), end = named_values(whole);
  // This is not an expert parameter, so Reptile leaves it unchanged.
  CHECK(start.at("blocks.0.moe.router.weight") == end.at("blocks.0.moe.router.weight"));
  const std::string name = "blocks.1.moe.experts.2.input.weight";
  CHECK(distance(end.at(name), start.at(name)) > 1e-5);
  for (size_t i = 0; i < start.at(name).size(); ++i)
    CHECK(middle.at(name)[i] == Approx((start.at(name)[i] + end.at(name)[i]) / 2).margin(1e-7));
}

TEST_CASE("diverging Reptile is reported") {
  TinyRun run(config_of("experts: 4", "reptile: {rounds: 3, domains: 2, inner_rate: 1000, parameters: all}"), kVocab,
              ProcessGroups::single());
  CHECK_THROWS_AS(meta_learn(run), DivergedError);
}

TEST_CASE("perturbed initial values differ by at most the size, by the seed, and not by the ranks") {
  const TrainConfig config = config_of("experts: 4, router: {kind: topk, k: 2}", "");
  const auto values_of = [&](int ranks, double size, uint64_t seed) {
    std::map<std::string, std::vector<double>> all;
    std::mutex mutex;
    test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
      TinyRun run(config, kVocab, ProcessGroups::make(world, ranks, 4));
      if (size > 0) perturb(run.state, size, seed);
      const std::scoped_lock lock(mutex);
      for (auto& [name, values] : named_values(run)) all[name] = values;
    });
    return all;
  };
  const double size = 1e-3;
  const auto plain = values_of(1, 0, 0), one = values_of(1, size, 1);
  CHECK(values_of(2, size, 1) == one);
  CHECK(values_of(1, size, 2) != one);
  double largest = 0, sum = 0, count = 0;
  for (const auto& [name, values] : plain) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] == 0) {
        CHECK(one.at(name)[i] == 0);
        continue;
      }
      const double change = one.at(name)[i] / values[i] - 1;
      largest = std::max(largest, std::abs(change));
      sum += change, count += 1;
    }
  }
  CHECK(largest <= size * 1.001);
  CHECK(largest > size * 0.99);
  CHECK(std::abs(sum / count) < size * 0.05);
}
