// Predictions of a step's time on a cluster.
#include "core/plan/plan_settings.h"

#include <algorithm>
#include <fstream>

#include "core/base/error.h"
#include "core/plan/measured_compute.h"
#include "core/plan/network.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

namespace {

// Two MoE blocks, without anything outside of them. Rates are 1, so that seconds are operations or bytes.
ModelCost small_model() {
  ModelCost cost;
  const BlockCost block{.attention = 6,
                        .feed_forward = 3,
                        .assignment = 12,
                        .assignments = 2,
                        .experts = 8,
                        .shared_parameters = 100,
                        .expert_parameters = 800};
  cost.blocks = {block, block};
  cost.head = 5;
  cost.width = 4;
  cost.first_parameters = 40;
  cost.last_parameters = 60;
  return cost;
}

NetworkConfig simple_network() {
  NetworkConfig n;
  n.inside.latency = n.between.latency = 0;
  n.inside.rate = 10;
  n.between.rate = 2;
  n.compute.attention = n.compute.feed_forward = n.compute.experts = n.compute.head = 1;
  n.compute.memory = 1;
  n.compute.passes = 0;
  n.compute.update = 0;
  return n;
}

PlannedStep simple_step() {
  return {.tokens = 10, .row_bytes = 1, .gradient_bytes = 1, .bucket = 1};
}

const PlannedRanks kTwoHosts{4, 2};

Prediction predicted(const PlanSetting& setting, const NetworkConfig& network = simple_network(),
                     const PlannedStep& step = simple_step(), const PlannedRanks& ranks = kTwoHosts) {
  return predict(small_model(), step, ranks, network, setting);
}

// Of a rank: forward and backward of two blocks, and the head.
constexpr double kCompute = 3 * (2 * 10 * (6 + 3 + 2 * 12) + 10 * 5);

}  // namespace

TEST_CASE("a single rank only computes") {
  const Prediction p = predicted({}, simple_network(), simple_step(), {1, 1});
  CHECK(p.step == Approx(kCompute));
  CHECK(p.compute == Approx(kCompute));
  CHECK(p.forward == Approx(2 * 10 * 33));
  CHECK(p.lost() == Approx(0).margin(1e-12));
}

TEST_CASE("exchanges of rows and sums of gradients are added by hand, without overlap") {
  // Two ranks of a host share the experts: half of 20 rows of 4 bytes leave a rank, there and back in both directions.
  const PlanSetting inside{.expert = 2, .reduce_during_backward = false};
  const double rows = 20 * 4, exchange = rows / 2 / 10;
  Prediction p = predicted(inside);
  CHECK(p.exchange == Approx(2 * 4 * exchange));
  // Sums: 300 shared elements over 4 ranks, 800 of experts over the rank on the other host. Each rank sends half of
  // the first to the other host, twice, and half of the second.
  CHECK(p.reduction == Approx((2 * 300 / 2.0 + 2 * 800 / 2.0) / 2));
  CHECK(p.step == Approx(kCompute + p.exchange + p.reduction));
  CHECK(p.compute == Approx(kCompute));

  // All four ranks share them: half of the rows go to the other host, which takes longer than a quarter inside.
  p = predicted({.expert = 4, .reduce_during_backward = false});
  CHECK(p.exchange == Approx(2 * 4 * rows / 2 / 2));
  CHECK(p.reduction == Approx(2 * 300 / 2.0 / 2));

  // A host's ranks share its link.
  NetworkConfig shared = simple_network();
  shared.host_rate = 2;
  CHECK(predicted({.expert = 4, .reduce_during_backward = false}, shared).exchange == Approx(2 * p.exchange));

  // The optimizer's state is divided: the sums go one way, and new weights the other.
  p = predicted({.expert = 2, .reduce_during_backward = false, .shard = true});
  CHECK(p.reduction == Approx((300 / 2.0 + 800 / 2.0) / 2));
  CHECK(p.update == Approx(p.reduction));

  // The busiest rank computes and gets half as much again.
  PlannedStep uneven = simple_step();
  uneven.imbalance = {1.5};
  p = predicted(inside, simple_network(), uneven);
  CHECK(p.exchange == Approx(1.5 * 2 * 4 * exchange));
  CHECK(p.compute == Approx(kCompute + 0.5 * 3 * 2 * 10 * 24));
}

TEST_CASE("rows that are sent once to each host take less between hosts") {
  // A token's two experts are on either of two hosts: 1 - (1/2)^2 of the tokens have one on the other host.
  const double rows = 10 * 0.75 * 4, inside = 20 * 4 / 2.0;
  const Prediction p = predicted({.expert = 4, .reduce_during_backward = false, .hierarchical = true});
  CHECK(p.exchange == Approx(2 * 4 * (rows / 2 + inside / 10)));
}

TEST_CASE("gradients that travel during backward are hidden as far as there is time") {
  NetworkConfig fast = simple_network();
  fast.inside.rate = fast.between.rate = 1e6;
  const PlanSetting after{.expert = 2, .reduce_during_backward = false}, during{.expert = 2};
  // Only what is complete at the end is left.
  CHECK(predicted(during, fast).reduction < 1e-3);
  CHECK(predicted(after, fast).reduction > 1e-4);
  // On slow links all that backward takes is gained, and no more.
  NetworkConfig slow = simple_network();
  slow.between.rate = 0.1;
  const Prediction one = predicted(after, slow), other = predicted(during, slow);
  CHECK(other.step < one.step);
  CHECK(other.step > one.step - one.backward);
  // Computing that is slowed meanwhile takes that much longer.
  slow.compute.slowed = 1.25;
  CHECK(predicted(during, slow).step > other.step);
  CHECK(predicted(during, slow).compute == Approx(other.compute));
}

TEST_CASE("parts of a layer hide the shorter of sending and computing") {
  const PlanSetting whole{.expert = 4, .reduce_during_backward = false};
  double before = predicted(whole).step;
  for (const int64_t n : {2, 4, 8}) {
    PlanSetting parts = whole;
    parts.overlap = n;
    const Prediction p = predicted(parts);
    CHECK(p.step < before);
    CHECK(p.step > std::max(p.compute, p.step - p.exchange));
    before = p.step;
  }
}

TEST_CASE("faster links and lower latency never make a step longer, with any setting") {
  for (const int64_t expert : {1, 2, 4}) {
    for (const char* recompute : {"none", "experts", "blocks"}) {
      for (int bits = 0; bits < 8; ++bits) {
        const PlanSetting s{.expert = expert,
                            .reduce_during_backward = (bits & 1) != 0,
                            .overlap = (bits & 2) != 0 ? 4 : 1,
                            .hierarchical = (bits & 4) != 0,
                            .recompute = recompute};
        NetworkConfig network = simple_network();
        network.inside.latency = network.between.latency = 0.5;
        double before = 1e300;
        for (int i = 0; i < 6; ++i) {
          const Prediction p = predicted(s, network);
          INFO(to_words(s) << ", step " << i);
          CHECK(p.step <= before * (1 + 1e-12));
          CHECK(p.step >= p.compute * (1 - 1e-12));
          before = p.step;
          network.inside.rate *= 3;
          network.between.rate *= 3;
          network.inside.latency /= 3;
          network.between.latency /= 3;
        }
      }
    }
  }
}

TEST_CASE("micro-batches exchange as many rows, and forward is computed once more where balance losses need it") {
  ModelCost model = small_model();
  const auto step = [&](int64_t n) {
    return predict(model, simple_step(), kTwoHosts, simple_network(),
                   {.expert = 2, .reduce_during_backward = false, .micro_batches = n});
  };
  const Prediction one = step(1);
  CHECK(step(5).step == Approx(one.step));
  model.sums_first = true;
  CHECK(step(1).step == Approx(one.step));
  CHECK(step(5).step == Approx(one.step + one.forward));
}

TEST_CASE("the best setting is the fastest of those that fit the memory") {
  const ModelCost model = small_model();
  NetworkConfig network = simple_network();
  PlanRequest request{.model = model,
                      .shape = simple_step(),
                      .ranks = kTwoHosts,
                      .network = network,
                      .setting = {.expert = 4, .reduce_during_backward = false},
                      .widths = {1, 2, 4},
                      .bytes = [](const PlanSetting& s) {
                        return 1000.0 / static_cast<double>(s.expert) + (s.recompute == "none" ? 100 : 0) -
                               (s.shard ? 50 : 0);
                      }};
  SettingsPlan plan = plan_settings(request);
  REQUIRE(plan.best);
  for (const PlannedSetting& c : plan.changed) CHECK(plan.best->prediction.step <= c.prediction.step * 1.001);
  CHECK(plan.best->setting.recompute == "none");
  const std::string text = to_words(plan, request);
  CHECK_THAT(text, Catch::Contains("with parallel.overlap: 2"));
  CHECK_THAT(text, Catch::Contains("not measured"));

  network.compute.bytes = 320;
  plan = plan_settings(request);
  REQUIRE(plan.best);
  CHECK(plan.best->setting.expert == 4);
  CHECK(plan.best->bytes <= 320);
  CHECK_THAT(to_words(plan, request), Catch::Contains("too large"));
  network.compute.bytes = 10;
  plan = plan_settings(request);
  CHECK_FALSE(plan.best);
  CHECK_THAT(to_words(plan, request), Catch::Contains("no setting fits"));
}

TEST_CASE("a recorded trace gives each block the load of its busiest rank") {
  CHECK(imbalance_of({0.25, 0.25, 0.25, 0.25}, 2) == Approx(1));
  CHECK(imbalance_of({0.5, 0.25, 0.125, 0.125}, 2) == Approx(1.5));
  CHECK(imbalance_of({0.5, 0.25, 0.125, 0.125}, 4) == Approx(2));
  CHECK(imbalance_of({1, 0, 0, 0}, 1) == Approx(1));

  TemporaryFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"type":"train","step":1,"load":[[0.5,0.25,0.125,0.125],[0.25,0.25,0.25,0.25]]})"
      << "\n"
      << R"({"type":"eval","step":1,"load":[[1,0,0,0]]})"
      << "\n{torn\n"
      << R"({"type":"train","step":2,"load":[["x"]]})"
      << "\n"
      << R"({"type":"train","step":3,"load":[[0.25,0.25,0.25,0.25],[0,0,0,1]]})"
      << "\n";
  const RoutingTrace trace = read_routing_trace(folder / "metrics.jsonl", 4);
  REQUIRE(trace.size() == 2);
  CHECK(trace[1][1] == std::vector<double>{0, 0, 0, 1});
  CHECK_THROWS_AS(read_routing_trace(folder / "metrics.jsonl", 8), DataError);
  CHECK_THROWS_AS(read_routing_trace(folder / "absent", 4), DataError);

  const ModelCost model = small_model();
  const NetworkConfig network = simple_network();
  const PlanRequest request{.model = model,
                            .shape = simple_step(),
                            .ranks = kTwoHosts,
                            .network = network,
                            .setting = {.expert = 2},
                            .widths = {2},
                            .trace = trace,
                            .bytes = [](const PlanSetting&) { return 0.0; }};
  const SettingsPlan plan = plan_settings(request);
  PlannedStep first = simple_step(), second = simple_step();
  first.imbalance = {1.5, 1};
  second.imbalance = {1, 2};
  const double one = predicted({.expert = 2}, network, first).step,
               two = predicted({.expert = 2}, network, second).step;
  CHECK(plan.configured.prediction.step == Approx((one + two) / 2));
  CHECK(plan.configured.longest == Approx(std::max(one, two)));
}

TEST_CASE("speeds that are fitted to measured times give these times again") {
  const ModelCost model = small_model();
  MeasuredCompute measured{.parts = {}, .tokens = 10, .seconds = 100, .steps = 2};
  const auto set = [&](ComputePart part, double forward, double backward) {
    measured.parts[static_cast<size_t>(part)] = {ComputeParts::Work{forward, 1}, ComputeParts::Work{backward, 1}};
  };
  // Two steps of two blocks, with backward that takes three times as long as forward.
  set(ComputePart::attention, 4, 12);
  set(ComputePart::feed_forward, 2, 6);
  set(ComputePart::experts, 8, 24);
  set(ComputePart::head, 20, 0);
  set(ComputePart::update, 6, 0);
  ComputeConfig fitted;
  fit_compute(fitted, model, measured);
  CHECK(fitted.backward == Approx(3));
  CHECK(fitted.attention == Approx(3 * 2 * 6 * 10 / 8.0));
  CHECK(fitted.memory == Approx(1900 * 32 / 3.0));
  // A step of 100 seconds of which the parts take 38.
  CHECK(fitted.passes * 10 * 2 * 4 * 4 / fitted.memory == Approx(62));

  const ComputeParts::Table timed = timed_parts(fitted, model, 5);
  const auto seconds = [&](ComputePart part, size_t direction, double rows) {
    return timed[static_cast<size_t>(part)][direction].per_row() * rows;
  };
  CHECK(seconds(ComputePart::attention, 0, 10) == Approx(5 * 1));  // of one of two blocks and steps
  CHECK(seconds(ComputePart::attention, 1, 10) == Approx(5 * 3));
  CHECK(seconds(ComputePart::feed_forward, 0, 10) == Approx(5 * 0.5));
  CHECK(seconds(ComputePart::experts, 1, 20) == Approx(5 * 6));
  CHECK(seconds(ComputePart::head, 0, 10) == Approx(5 * 10));
  CHECK(seconds(ComputePart::update, 0, 1900) == Approx(5 * 3));

  // What is planned of them is the step that was measured.
  NetworkConfig network = simple_network();
  network.compute = fitted;
  PlannedStep step = simple_step();
  step.row_bytes = 4;
  CHECK(predicted({}, network, step, {1, 1}).step == Approx(100 + 3));
}

TEST_CASE("parts of a model are measured, or waited for, once where they are nested") {
  Arena activations = Arena::planning("activations", Device::cpu), scratch = Arena::planning("scratch", Device::cpu);
  Context ctx;
  ctx.activations = &activations;
  ctx.scratch = &scratch;
  { const ComputeScope none(ctx, ComputePart::head, ComputeDirection::forward, 3); }
  for (const bool replaces : {false, true}) {
    ComputeParts::Table table{};
    table[static_cast<size_t>(ComputePart::experts)][0] = {0.002, 1};
    ComputeParts parts = replaces ? ComputeParts(table) : ComputeParts();
    ctx.compute = &parts;
    {
      const ComputeScope outer(ctx, ComputePart::experts, ComputeDirection::forward, 4);
      CHECK(ctx.planning == replaces);
      { const ComputeScope inner(ctx, ComputePart::attention, ComputeDirection::forward, 4); }
      CHECK(ctx.planning == replaces);
    }
    CHECK_FALSE(ctx.planning);
    CHECK(parts.work(ComputePart::experts, ComputeDirection::forward).rows == 4);
    CHECK(parts.work(ComputePart::attention, ComputeDirection::forward).rows == 0);
    if (replaces) CHECK(parts.work(ComputePart::experts, ComputeDirection::forward).seconds >= 0.008);
  }
}

TEST_CASE("a network file is written and read, and a wrong value is refused with its key") {
  TemporaryFolder folder;
  const std::string path = folder / "network.yaml";
  CHECK(read_network_or_default(path).inside.rate == NetworkConfig().inside.rate);
  NetworkConfig network;
  network.between.rate = 1.25e8;
  network.reduction.kind = "ring";
  network.compute.experts = 3.5e10;
  write_network(path, network);
  const NetworkConfig read = read_network(path);
  CHECK(read.between.rate == 1.25e8);
  CHECK(read.reduction.kind == "ring");
  CHECK(read.compute.experts == 3.5e10);
  std::ofstream(folder / "wrong.yaml") << "between: {rate: -1}\ncompute: {expert: 3}\n";
  CHECK_THROWS_WITH(read_network(folder / "wrong.yaml"),
                    Catch::Contains("between.rate") && Catch::Contains("compute.expert"));
  CHECK(read_network(MOE_SOURCES "/configs/networks/h100.yaml").compute.bytes == 8e10);
}
