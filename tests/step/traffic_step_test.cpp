// What the steps of whole models send, by kind and layer.
#include <map>
#include <mutex>

#include "comm/profiled_communicator.h"
#include "core/base/integer.h"
#include "core/base/metric_keys.h"
#include "core/moe/token_dispatcher.h"
#include "core/step/traffic_record.h"
#include "tests/support/catch.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/test_context.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

namespace {

constexpr int64_t kVocab = 29;
const std::vector<int> kHosts = {0, 0, 1, 1};

constexpr const char* kModel =
    "model: {layers: 2, d_model: 24, attention: {heads: 3}, init_std: 0.05}\n"
    "data: {sequence: 12}\ntrain: {batch: 8, steps: 100}\n";

struct Profiled {
  TrafficProfile profile;  // of rank 0
  std::map<std::string, std::vector<double>> values;
  std::map<TrafficLabel, TrafficCounts> sums;  // over the ranks' own events
  int64_t shared = 0, experts = 0;             // parameters of a rank
};

// The second of two updates on 4 ranks of 2 hosts.
Profiled profiled_step(const std::string& yaml, int width, bool on = true) {
  const TrainConfig config = config_from(yaml);
  std::mutex mutex;
  Profiled result;
  test::run_ranks(
      4,
      [&](std::shared_ptr<Communicator> world) {
        const auto recorder = std::make_shared<TrafficRecorder>();
        TinyRun run(config, kVocab, ProcessGroups::make(on ? profiled(world, recorder) : world, width, 4));
        if (on) run.state.ctx.traffic = recorder.get();
        run.run(RandomBatch(config, kVocab, 5, 0), 0, 1e-3);
        recorder->begin_step();
        run.run(RandomBatch(config, kVocab, 5, 1), 1, 1e-3);
        const TrafficProfile profile = recorder->finish_step(*run.groups.world);
        std::map<std::string, std::vector<double>> values = everything_named(run);
        const std::scoped_lock lock(mutex);
        for (const TrafficEvent& e : profile.events) {
          for (const auto count : kTrafficCounts) result.sums[e.label].*count += e.counts.*count;
        }
        if (world->rank() > 0) return;
        result.profile = profile;
        result.values = values;
        result.shared = run.state.parameters.buffer(ParameterGroup::shared).value.size();
        result.experts = run.state.parameters.buffer(ParameterGroup::expert).value.size();
      },
      kHosts);
  return result;
}

std::string with_moe(const std::string& more, const std::string& rest = "") {
  return fmt::format("{}moe: {{experts: 4, d_ff: 16, {}}}\n{}", kModel, more, rest);
}

int64_t bytes_of(const TrafficProfile& profile, TrafficKind kind) {
  int64_t bytes = 0;
  for (const TrafficRow& row : profile.rows) bytes += row.label.kind == kind ? row.counts.bytes() : 0;
  return bytes;
}

}  // namespace

TEST_CASE("what a dispatcher sends is counted by hand") {
  // One expert on each rank; rows of 5 floats. Both tokens of rank 0 choose experts 0 and 3, those of the others 1
  // and 2.
  std::mutex mutex;
  TrafficProfile profile;
  int64_t received = 0;
  test::run_ranks(
      4,
      [&](std::shared_ptr<Communicator> world) {
        const auto recorder = std::make_shared<TrafficRecorder>();
        const ProcessGroups groups = ProcessGroups::make(profiled(world, recorder), 4, 4);
        test::TestContext ctx;
        ctx.traffic = recorder.get();
        TokenDispatcher dispatcher(groups, 4);
        DispatchPlan plan;
        const bool first = world->rank() == 0;
        const Tensor chosen = ctx.of_i32({2, 2}, first ? std::vector{0, 3, 0, 3} : std::vector{1, 2, 1, 2});
        recorder->begin_step();
        const TrafficScope layer(recorder.get(), 7);
        dispatcher.prepare(ctx, chosen, plan);
        const Tensor rows = ctx.normal({plan.num_sorted, 5}, 1);
        for (const TrafficKind kind : {TrafficKind::dispatch, TrafficKind::combine})  // forward and backward
          dispatcher.exchange(ctx, plan, kind, rows, rows, [](const DispatchPart&, ConstTensor, Tensor) {});
        const TrafficProfile mine = recorder->finish_step(*world);
        const std::scoped_lock lock(mutex);
        for (int peer = 0; peer < 4; ++peer) {
          if (peer != world->rank()) received += plan.receive_rows[as_index(peer)];
        }
        if (first) profile = mine;
      },
      kHosts);
  REQUIRE(profile.rows.size() == 2);
  // Rows between ranks of a host: 2 from rank 3 to 2. Between hosts: 2 from 0 to 3, from 1 to 2, from 2 to 1, from 3 to
  // 1. (Rank 2 keeps 2 rows, rank 1 too, rank 0 too.) Counts: 4 bytes from each rank to each other.
  const int64_t row = 5 * 4, inside = 2 * row, between = 8 * row;
  const TrafficRow &dispatch = profile.rows[0], &combine = profile.rows[1];
  CHECK(dispatch.label == TrafficLabel{TrafficKind::dispatch, 7});
  CHECK(dispatch.counts.bytes_inside == 2 * inside + 4 * 4);
  CHECK(dispatch.counts.bytes_between == 2 * between + 8 * 4);
  CHECK(dispatch.counts.messages_inside == 2 * 1 + 4);
  CHECK(dispatch.counts.messages_between == 2 * 4 + 8);
  CHECK(combine.label == TrafficLabel{TrafficKind::combine, 7});
  CHECK(combine.counts.bytes_inside == 2 * inside);
  CHECK(combine.counts.bytes_between == 2 * between);
  CHECK(received * row == inside + between);
}

TEST_CASE("a recorded step has the bits of one that is not, and the ranks' events add up to its rows") {
  std::vector<std::string> all = {with_moe("shared_experts: 1", "parallel: {bucket: 300}\n"),
                                  with_moe("router: topk", "optimizer: {kind: adamw, shard: true}\n"),
                                  with_moe("router: topk", "parallel: {reduce_during_backward: false}\n"),
                                  with_moe("router: topk", "parallel: {placement: {kind: load}}\n"),
                                  "model: {layers: 2, d_model: 24, attention: {heads: 3}}\ndata: {sequence: 12}\n"
                                  "train: {batch: 8, steps: 100, micro_batches: 2}\nmoe: {experts: 4, d_ff: 16}\n"};
  for (const char* recompute : {"experts", "blocks"}) {
    all.push_back(fmt::format(
        "model: {{layers: 2, d_model: 24, attention: {{heads: 3}}, recompute: {}}}\ndata: {{sequence: 12}}\n"
        "train: {{batch: 8, steps: 100}}\nmoe: {{experts: 4, d_ff: 16}}\n",
        recompute));
  }
  for (const Member& strategy : family<Strategy>()) all.push_back(with_moe("strategy: " + strategy.name));
  for (const std::string& variant : test::strategy_variants()) all.push_back(with_moe("strategy: " + variant));
  for (const std::string& yaml : all) {
    INFO(yaml);
    const Profiled on = profiled_step(yaml, 2), off = profiled_step(yaml, 2, false);
    CHECK(on.values == off.values);
    CHECK(off.profile.rows.empty());
    REQUIRE(on.profile.rows.size() == on.sums.size());
    for (const TrafficRow& row : on.profile.rows) {
      INFO(name_of(row.label.kind) << " of block " << row.label.layer);
      for (const auto count : kTrafficCounts) CHECK(row.counts.*count == on.sums.at(row.label).*count);
      const bool of_rows = row.label.kind == TrafficKind::dispatch || row.label.kind == TrafficKind::combine;
      CHECK(row.label.layer >= (of_rows ? 0 : -1));
      CHECK(row.label.layer < 2);
      // The ranks that share experts are on one host.
      if (of_rows) CHECK(row.counts.bytes_between == 0);
      CHECK(row.is_timed);
      for (const RankSpread& spread : {row.transfer, row.waiting, row.hidden}) {
        CHECK(spread.mean >= 0);
        CHECK(spread.largest >= spread.mean);
      }
    }
    CHECK(bytes_of(on.profile, TrafficKind::dispatch) > 0);
    CHECK(bytes_of(on.profile, TrafficKind::combine) > 0);
    CHECK_FALSE(on.profile.phases.empty());
  }
}

TEST_CASE("gradients and new weights are counted by hand") {
  // Of n ranks with the same parameters, each sends the others' parts, and its own sums to all.
  for (const int width : {1, 2, 4}) {
    INFO(width << " ranks share the experts");
    const int64_t copies = 4 / width;
    const auto bytes = [&](const Profiled& p) { return 4 * 2 * (3 * p.shared + width * (copies - 1) * p.experts); };
    const Profiled whole = profiled_step(with_moe("router: topk"), width),
                   bf16 = profiled_step(with_moe("router: topk", "parallel: {reduce_in: bf16}\n"), width),
                   shard = profiled_step(with_moe("router: topk", "optimizer: {kind: adamw, shard: true}\n"), width);
    CHECK(bytes_of(whole.profile, TrafficKind::gradients) == bytes(whole));
    CHECK(bytes_of(bf16.profile, TrafficKind::gradients) == bytes(whole) / 2);
    CHECK(bytes_of(whole.profile, TrafficKind::weights) == 0);
    // A divided optimizer needs each sum on one rank alone, and sends as many bytes of new weights.
    CHECK(bytes_of(shard.profile, TrafficKind::gradients) == bytes(shard) / 2);
    CHECK(bytes_of(shard.profile, TrafficKind::weights) == bytes(shard) / 2);
    CHECK((bytes_of(whole.profile, TrafficKind::dispatch) == 0) == (width == 1));
  }
}

TEST_CASE("a profile's record has its rows, and the table has the kinds that were sent") {
  const Profiled step = profiled_step(with_moe("router: topk"), 2);
  const Json json = to_json(step.profile);
  REQUIRE(json.at(metric_keys::kRows).size() == step.profile.rows.size());
  CHECK(json.at(metric_keys::kHosts) == 2);
  CHECK(json.at(metric_keys::kRows).at(0).at(metric_keys::kKind) == "dispatch");
  CHECK(json.at(metric_keys::kRows).at(0).at(metric_keys::kBytesInside).get<int64_t>() ==
        step.profile.rows[0].counts.bytes_inside);
  const Json timeline = timeline_json(step.profile, 0);
  CHECK(timeline.at(metric_keys::kEvents).size() == step.profile.events.size());
  CHECK(timeline.at(metric_keys::kPhases).at(0).at(metric_keys::kName) == "forward");
  TrafficTotals totals;
  CHECK(totals.empty());
  totals.add(step.profile);
  totals.add(step.profile);
  const std::vector<std::string> lines = totals.to_words();
  REQUIRE(lines.size() == 6);  // a headline, a header, and all kinds but new weights
  CHECK_THAT(lines[0], Catch::Contains("2 recorded updates"));
  CHECK_THAT(lines[2], Catch::Contains("dispatch"));

  // Times that are not known are left out.
  TrafficProfile of_device = step.profile;
  for (TrafficRow& row : of_device.rows) row.is_timed = false;
  for (TrafficEvent& event : of_device.events) event.is_timed = false;
  CHECK_FALSE(to_json(of_device).at(metric_keys::kRows).at(0).contains(metric_keys::kTransfer));
  CHECK(timeline_json(of_device, 0).at(metric_keys::kEvents).empty());
}
