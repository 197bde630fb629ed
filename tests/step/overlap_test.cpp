// Whole steps with parallel.overlap: no bit changes, and memory is planned exactly.
#include <algorithm>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/config/config_reader.h"
#include "core/config/recompute.h"
#include "core/ops/elementwise.h"
#include "tests/support/catch.h"
#include "tests/support/late_communicator.h"
#include "tests/support/made_up_hosts.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 23;

static TrainConfig config_with(const std::string& more) {
  ConfigNode root = parse_config(R"(
model: {layers: 2, d_model: 16, d_ff: 20, hidden_dropout: 0.1, init_std: 0.3, attention: {heads: 2}}
moe: {experts: 8, d_ff: 12, shared_experts: 1, shared_gate: true}
data: {sequence: 6}
train: {batch: 4, steps: 20}
)",
                                 "base");
  merge_config(root, parse_config(more, "more"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// Everything that two updates computed, of each rank.
static std::vector<std::map<std::string, std::vector<double>>> results_of(TrainConfig config, int ranks,
                                                                          int64_t overlap, Precision precision) {
  config.parallel.overlap = overlap;
  std::vector<std::map<std::string, std::vector<double>>> results(static_cast<size_t>(ranks));
  test::run_ranks(ranks, [&](std::shared_ptr<Communicator> threads) {
    const auto world = std::make_shared<test::LateCommunicator>(std::move(threads));
    auto& result = results[static_cast<size_t>(world->rank())];
    TinyRun run(config, kVocab, ProcessGroups::make(world, 2, config.moe.experts), precision, Device::cpu);
    for (int64_t update = 0; update < 2; ++update) {
      const StepOutcome outcome = run.run(RandomBatch(config, kVocab, 11, static_cast<uint64_t>(update)), update, 3e-3);
      result[fmt::format("outcome {}", update)] = {outcome.loss, outcome.auxiliary, outcome.norm};
    }
    result.merge(everything_named(run));
  });
  return results;
}

TEST_CASE("parallel.overlap changes no bit of an update") {
  for (const char* yaml :
       {"{}", "{train: {micro_batches: 2}, moe: {strategy: stochastic}}", "model: {recompute: experts}",
        "{model: {recompute: blocks}, moe: {strategy: {kind: compete, probability: 1}}}",
        "{model: {recompute: experts, bias: true}, moe: {hidden_dropout: 0.2, strategy: stochastic}}",
        "{model: {recompute: experts}, moe: {strategy: {kind: contrastive, contrast: 1}}, train: {batch: 3}}",
        "moe: {strategy: {kind: change, at: 1, first: {kind: compete, probability: 1}, then: stochastic}}",
        "moe: {layers: [{at: 0, experts: 5, shared_experts: 0, shared_gate: false}, {at: last, experts: 3}]}"}) {
    for (const Precision& precision : {Precision{}, Precision{.products = Products::bf16}}) {
      const TrainConfig config = config_with(yaml);
      for (const int ranks : {2, 4}) {
        const auto expected = results_of(config, ranks, 1, precision);
        for (const int64_t overlap : {2, 4}) {
          INFO(yaml << ", " << ranks << " ranks, " << overlap << " parts, " << name_of(precision));
          CHECK(results_of(config, ranks, overlap, precision) == expected);
        }
      }
    }
  }
}

TEST_CASE("the memory plan equals what a step with parallel.overlap uses") {
  for (const char* yaml : {"{}", "moe: {shared_experts: 0, shared_gate: false}", "moe: {strategy: stochastic}",
                           "moe: {strategy: {kind: compete, probability: 1}}",
                           "{moe: {hidden_dropout: 0.1}, train: {micro_batches: 2}}"}) {
    for (const std::string& recompute : recompute_values()) {
      for (const int64_t overlap : {1, 2, 4}) {
        INFO(yaml << ", " << recompute << ", " << overlap << " parts");
        TrainConfig config = config_with(yaml);
        config.moe.router.select("uniform");  // with which every expert gets as many rows as planned
        config.data.sequence = 32;
        config.model.recompute = recompute;
        config.parallel.overlap = overlap;
        std::vector<std::vector<size_t>> used(2), planned(2);
        test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
          const auto rank = static_cast<size_t>(world->rank());
          TinyRun run(config, kVocab, ProcessGroups::make(world, 2, config.moe.experts));
          run.run(RandomBatch(config, kVocab, 11), 10, 1e-3);
          const MemoryPlan plan = plan_memory({config, kVocab, run.groups, {20, 128, 1}});
          used[rank] = {run.state.activations().peak(), run.state.scratch().peak()};
          planned[rank] = {plan.activations, plan.scratch};
        });
        CHECK(used == planned);
      }
    }
  }
}

TEST_CASE("the memory plan equals what a step uses whose rows travel in two stages, and a dry run plans the same") {
  for (const char* yaml :
       {"{}", "moe: {shared_experts: 0, shared_gate: false}", "moe: {strategy: stochastic, hidden_dropout: 0.1}",
        "moe: {strategy: {kind: compete, probability: 1}}", "moe: {dropout: 0.1}"}) {
    for (const std::string& recompute : recompute_values()) {
      for (const std::vector<int>& hosts : {std::vector{0, 0, 1, 1}, std::vector{0, 1, 2, 3}}) {
        for (const int64_t overlap : {1, 2}) {
          INFO(yaml << ", " << recompute << ", " << overlap << " parts, the last rank on host " << hosts.back());
          TrainConfig config = config_with(yaml);
          config.moe.router.select("uniform");  // every expert gets every token, so as many rows travel as planned
          config.data.sequence = 32;
          config.model.recompute = recompute;
          config.parallel.overlap = overlap;
          std::vector<std::vector<size_t>> used(4), planned(4);
          test::run_ranks(
              4,
              [&](const std::shared_ptr<Communicator>& world) {
                const auto rank = static_cast<size_t>(world->rank());
                TinyRun run(config, kVocab, ProcessGroups::make(world, 4, config.moe.experts));
                run.run(RandomBatch(config, kVocab, 11), 10, 1e-3);
                const MemoryPlan plan = plan_memory({config, kVocab, run.groups, {20, 128, 1}});
                used[rank] = {run.state.activations().peak(), run.state.scratch().peak()};
                planned[rank] = {plan.activations, plan.scratch};
              },
              hosts);
          CHECK(used == planned);
          const RankCounts counts{.ranks = 4, .per_host = hosts[1] == 0 ? 2 : 1};
          const MemoryPlan dry = plan_memory({config, kVocab, ProcessGroups::planned(counts, 4), {20, 128, 1}});
          CHECK(std::vector<size_t>{dry.activations, dry.scratch} == planned[3]);
        }
      }
    }
  }
}

TEST_CASE("rows that travel in two stages never need more memory than planned for the worst case") {
  for (const char* router : {"topk", "{kind: topk, k: 1, softmax: all, renormalise: false}", "{kind: topk, k: 5}"}) {
    TrainConfig config = config_with(fmt::format("moe: {{router: {}}}", router));
    config.parallel.all_to_all = "hierarchical";
    for (const std::vector<int>& hosts : {std::vector{0, 0, 1, 1}, std::vector{0, 1, 2, 3}}) {
      test::run_ranks(
          4,
          [&](const std::shared_ptr<Communicator>& world) {
            TinyRun run(config, kVocab, ProcessGroups::make(world, 4, config.moe.experts));
            for (const Parameter& p : run.state.parameters.parameters()) {
              if (p.name.find("router") != std::string::npos) fill_zero(run.state.ctx, p.value);
            }
            run.run(RandomBatch(config, kVocab, 11), 0, 1e-3);  // all tokens to the first experts
          },
          hosts);
    }
  }
  SUCCEED("no arena was too small");
}

TEST_CASE("hierarchical exchanges of uneven hosts are refused with the numbers") {
  TrainConfig config = config_with("{}");
  config.parallel.all_to_all = "hierarchical";
  try {
    test::run_ranks(4,
                    [&](const std::shared_ptr<Communicator>& world) {
                      TinyRun run(config, kVocab, ProcessGroups::make(world, 4, config.moe.experts));
                    },
                    {0, 0, 0, 1});
    FAIL("uneven hosts were accepted");
  } catch (const UsageError& error) {
    CHECK_THAT(error.what(), Catch::Contains("parallel.all_to_all") && Catch::Contains("1 on one host and 3"));
  }
}

// Bytes of rows of each type that an update's exchanges send, to the same rank too.
static std::map<DType, size_t> bytes_sent(const TrainConfig& config, const std::vector<int>& hosts,
                                          const Precision& precision) {
  std::map<DType, size_t> bytes;
  std::mutex mutex;
  const auto ranks = static_cast<int>(hosts.size());
  test::run_ranks(ranks, [&](std::shared_ptr<Communicator> threads) {
    const auto world =
        std::make_shared<test::MadeUpHosts>(std::move(threads), hosts, [&](int, int, DType dtype, size_t sent) {
          const std::scoped_lock lock(mutex);
          bytes[dtype] += sent;
        });
    TinyRun run(config, kVocab, ProcessGroups::make(world, ranks, config.moe.experts), precision, Device::cpu);
    run.run(RandomBatch(config, kVocab, 11), 0, 1e-3);
  });
  return bytes;
}

static constexpr Precision kRounded{.products = Products::bf16};

TEST_CASE("with precision bf16 rows travel in bf16, scores and gradients of weights in f32") {
  for (const char* strategy : {"plain", "{kind: compete, probability: 1}"}) {
    for (const std::vector<int>& hosts : {std::vector{0, 0}, std::vector{0, 0, 1, 1}}) {
      INFO(strategy << ", " << hosts.size() << " ranks");
      TrainConfig config = config_with(fmt::format("moe: {{strategy: {}}}", strategy));
      config.moe.router.select("uniform");
      const auto full = bytes_sent(config, hosts, Precision{}), rounded = bytes_sent(config, hosts, kRounded);
      CHECK(full.count(DType::bf16) == 0);
      CHECK(rounded.at(DType::i32) == full.at(DType::i32));
      const size_t others = rounded.count(DType::f32) > 0 ? rounded.at(DType::f32) : 0;
      CHECK(full.at(DType::f32) - others == 2 * rounded.at(DType::bf16));
      CHECK((others == 0) == (hosts.size() == 2 && std::string(strategy) == "plain"));
      CHECK(others < rounded.at(DType::bf16));
    }
  }
}

// The largest distance of a tensor's gradient from the expected one.
static double worst_distance(TinyRun& run, const std::map<std::string, std::vector<double>>& expected) {
  double worst = 0;
  for (const auto& [name, gradient] : named_gradients(run)) {
    worst = std::max(worst, distance(gradient, expected.at(name)));
  }
  return worst;
}

TEST_CASE("rows in bf16 make gradients little less exact than products in bf16 do, whatever way rows take") {
  for (const char* yaml : {"{}", "moe: {strategy: {kind: compete, probability: 1}}", "moe: {dropout: 0.1}",
                           "{model: {recompute: experts}, moe: {strategy: stochastic, hidden_dropout: 0.1}}"}) {
    TrainConfig config = config_with(yaml);
    config.moe.router.select("uniform");  // so that no choice depends on rounding
    const RandomBatch batch(config, kVocab, 11);
    TinyRun full(config, kVocab, ProcessGroups::single()),
        one(config, kVocab, ProcessGroups::single(), kRounded, Device::cpu);
    const StepOutcome expected = full.accumulate(batch);
    one.accumulate(batch);
    const auto gradients = named_gradients(full);
    const double of_products = worst_distance(one, gradients);
    CHECK(of_products < 1e-1);
    for (const std::vector<int>& hosts : {std::vector{0, 0}, std::vector{0, 0, 1, 1}, std::vector{0, 1}}) {
      INFO(yaml << ", " << hosts.size() << " ranks, the last on host " << hosts.back());
      const auto ranks = static_cast<int>(hosts.size());
      std::vector<double> losses(hosts.size()), worst(hosts.size());
      test::run_ranks(
          ranks,
          [&](const std::shared_ptr<Communicator>& world) {
            const auto rank = static_cast<size_t>(world->rank());
            TinyRun run(config, kVocab, ProcessGroups::make(world, ranks, config.moe.experts), kRounded, Device::cpu);
            losses[rank] = run.accumulate(batch).loss;
            worst[rank] = worst_distance(run, gradients);
          },
          hosts);
      for (size_t rank = 0; rank < hosts.size(); ++rank) {
        CHECK(losses[rank] == Approx(expected.loss).epsilon(3e-3));
        CHECK(worst[rank] < 2 * of_products);
      }
    }
  }
}

TEST_CASE("the memory of rows that travel in bf16 is planned exactly") {
  for (const char* yaml : {"{}", "moe: {strategy: {kind: compete, probability: 1}}", "moe: {dropout: 0.1}"}) {
    for (const std::vector<int>& hosts : {std::vector{0, 0}, std::vector{0, 0, 1, 1}}) {
      INFO(yaml << ", " << hosts.size() << " ranks");
      TrainConfig config = config_with(yaml);
      config.moe.router.select("uniform");
      config.data.sequence = 32;
      config.parallel.overlap = 2;
      const auto ranks = static_cast<int>(hosts.size());
      std::vector<std::vector<size_t>> used(hosts.size()), planned(hosts.size());
      test::run_ranks(
          ranks,
          [&](const std::shared_ptr<Communicator>& world) {
            const auto rank = static_cast<size_t>(world->rank());
            TinyRun run(config, kVocab, ProcessGroups::make(world, ranks, config.moe.experts), kRounded, Device::cpu);
            run.run(RandomBatch(config, kVocab, 11), 10, 1e-3);
            const MemoryPlan plan = plan_memory(
                {.config = config, .sample = kVocab, .groups = run.groups, .run = {20, 128, 1}, .precision = kRounded});
            used[rank] = {run.state.activations().peak(), run.state.scratch().peak()};
            planned[rank] = {plan.activations, plan.scratch};
          },
          hosts);
      CHECK(used == planned);
    }
  }
}

TEST_CASE("a strategy that changes is planned with the shared experts of both") {
  for (const std::string& recompute : recompute_values()) {
    TrainConfig config = config_with(
        "moe: {router: {k: 1, softmax: all, renormalise: false}, strategy: {kind: change, at: 1, first: "
        "{kind: compete, probability: 1}, then: stochastic}}");
    config.model.recompute = recompute;
    config.parallel.overlap = 4;
    test::run_ranks(2, [&](const std::shared_ptr<Communicator>& world) {
      TinyRun run(config, kVocab, ProcessGroups::make(world, 2, config.moe.experts));
      for (int64_t i = 0; i < 2; ++i) run.run(RandomBatch(config, kVocab, 11), i, 1e-3);
    });
    SUCCEED("no arena was too small");
  }
}

TEST_CASE("shared experts are computed while the first part of the rows is under way") {
  TrainConfig config = config_with("model: {layers: 1, arrangement: moe}");
  config.parallel.overlap = 2;
  std::vector<std::vector<size_t>> in_use(2);  // bytes of activations, at each start of an exchange and wait for it
  test::run_ranks(2, [&](std::shared_ptr<Communicator> threads) {
    const Arena* activations = nullptr;
    auto& mine = in_use[static_cast<size_t>(threads->rank())];
    const auto world =
        std::make_shared<test::LateCommunicator>(std::move(threads), [&](test::LateCommunicator::Event, int64_t) {
          if (activations) mine.push_back(activations->used());
        });
    TinyRun run(config, kVocab, ProcessGroups::make(world, 2, config.moe.experts));
    activations = &run.state.activations();
    run.run(RandomBatch(config, kVocab, 11), 0, 1e-3);
  });
  for (const auto& mine : in_use) {
    REQUIRE(mine.size() > 2);
    CHECK(mine[1] > mine[0]);   // between the start of the first part and the wait for it
    CHECK(mine[2] == mine[1]);  // the start of the second
  }
}
