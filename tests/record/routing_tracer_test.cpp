#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/base/integer.h"
#include "core/checkpoint/files.h"
#include "core/moe/moe_layer.h"
#include "core/record/routing_tracer.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 23;

static TrainConfig config_of(const std::string& moe, const std::string& more = "") {
  return config_from(
      "model: {layers: 3, d_model: 16, d_ff: 20, arrangement: [moe, dense, moe], init_std: 0.3, "
      "attention: {heads: 2}}\nmoe: {experts: 6, d_ff: 12, " +
      moe + "}\ndata: {sequence: 6}\ntrain: {batch: 5, steps: 20}\n" + more);
}

struct Traced {
  StepTrace trace;
  std::vector<std::vector<double>> counts, dropped;  // by layer and expert: the loads that the step added up
  double bytes = 0;                                  // of the file's arrays
};

// The trace of an update whose batch `ranks` ranks share.
static Traced traced(TrainConfig config, int ranks, int micro_batches) {
  config.train.micro_batches = micro_batches;
  const TemporaryFolder folder;
  const std::string path = folder / "trace.safetensors";
  Traced result;
  const auto rank = [&](const ProcessGroups& groups) {
    TinyRun run(config, kVocab, groups, DType::f64);
    const RandomBatch batch(config, kVocab, 11);
    RoutingTracer tracer(config.trace);
    tracer.begin(*run.state.model);
    run.accumulate(batch, 3);
    tracer.write(
        *run.state.model, *groups.world, {.step = 4, .samples = batch.sequences, .sequence = batch.time},
        [&](int64_t samples, Batch& b) {
          const auto places = static_cast<int64_t>(samples * batch.time);
          b.sequences = samples;
          b.length = batch.time;
          b.inputs.assign(batch.inputs.begin(), batch.inputs.begin() + places);
          b.targets.assign(batch.targets.begin(), batch.targets.begin() + places);
        },
        path);
    if (groups.world->rank() != 0) return;
    for (const MoELayer* layer : run.state.model->moe_layers()) {
      result.counts.emplace_back(layer->load().counts.begin(), layer->load().counts.end());
      result.dropped.emplace_back(layer->load().dropped.begin(), layer->load().dropped.end());
    }
  };
  if (ranks == 1) {
    rank(ProcessGroups::single());
  } else {
    test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
      rank(ProcessGroups::make(world, ranks, config.moe.experts));
    });
  }
  result.trace = StepTraceFile(path).all();
  const std::string content = read_text(path);
  result.bytes = static_cast<double>(content.size()) - 8 -
                 (static_cast<unsigned char>(content[0]) + 256.0 * static_cast<unsigned char>(content[1]));
  return result;
}

// The scored tokens' choices by expert, of all or of the dropped ones.
static std::vector<double> counted(const StepTrace& trace, const LayerTrace& layer, bool dropped) {
  std::vector<double> counts(as_index(layer.experts));
  for (int64_t t = 0; t < trace.tokens(); ++t) {
    for (int64_t s = 0; s < layer.slots; ++s) {
      if (trace.next[as_index(t)] < 0 || layer.expert(t, s) < 0) continue;
      if (!dropped || layer.is_dropped(t, s)) counts[as_index(layer.expert(t, s))] += 1;
    }
  }
  return counts;
}

static void check_equal(const Traced& a, const Traced& b) {
  CHECK(a.trace.ids == b.trace.ids);
  CHECK(a.trace.next == b.trace.next);
  CHECK(a.trace.samples == b.trace.samples);
  CHECK(a.trace.positions == b.trace.positions);
  REQUIRE(a.trace.layers.size() == b.trace.layers.size());
  for (size_t i = 0; i < a.trace.layers.size(); ++i) {
    const LayerTrace &one = a.trace.layers[i], &other = b.trace.layers[i];
    CHECK(one.block == other.block);
    CHECK(one.chosen == other.chosen);
    CHECK(one.dropped == other.dropped);
    REQUIRE(one.weights.size() == other.weights.size());
    for (size_t j = 0; j < one.weights.size(); ++j) CHECK(one.weights[j] == Approx(other.weights[j]).margin(1e-6));
  }
}

static void check_traces(const TrainConfig& config, bool one_pass = true) {
  const Traced whole = traced(config, 1, 1);
  REQUIRE(whole.trace.layers.size() == 2);
  CHECK(whole.trace.facts.is_complete);
  CHECK(whole.trace.layers[0].block == 0);
  CHECK(whole.trace.layers[1].block == 2);
  for (size_t i = 0; one_pass && i < 2; ++i) {
    CHECK(counted(whole.trace, whole.trace.layers[i], false) == whole.counts[i]);
    CHECK(counted(whole.trace, whole.trace.layers[i], true) == whole.dropped[i]);
  }
  check_equal(whole, traced(config, 1, 2));
  check_equal(whole, traced(config, 2, 1));
  check_equal(whole, traced(config, 2, 2));
}

TEST_CASE("a trace has the choices of every token with every router, for any ranks and micro-batches") {
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    check_traces(config_of("router: " + router.name, "trace: {every: 1}"));
  }
}

TEST_CASE("a trace has the choices of every strategy's first pass") {
  for (const std::string& strategy : test::strategy_variants()) {
    INFO(strategy);
    // Noisy copies of the tokens are in the loads, but not in the trace.
    check_traces(config_of("strategy: " + strategy), strategy.find("stochastic") == std::string::npos);
  }
}

TEST_CASE("a trace marks the choices that a capacity drops") {
  for (const auto& [kind, capacity] : test::capacity_variants()) {
    INFO(kind);
    const TrainConfig config = config_of("capacity: " + capacity);
    const Traced whole = traced(config, 1, 1);
    for (size_t i = 0; i < 2; ++i) {
      const auto dropped = counted(whole.trace, whole.trace.layers[i], true);
      CHECK(dropped == whole.dropped[i]);
      CHECK(whole.trace.layers[i].dropped.empty() == (kind == "dropless"));
      if (kind != "dropless") CHECK(*std::max_element(dropped.begin(), dropped.end()) > 0);
    }
  }
  // A capacity of each sequence drops the same choices for any ranks.
  check_traces(config_of("capacity: {kind: fixed, factor: 0.6, group: sequence}"));
}

TEST_CASE("a trace of labelled texts leaves padding out") {
  TrainConfig config = config_of("router: topk", "task: classify\n");
  config.data.labelled.format = "tsv";
  config.model.attention.causal = false;
  check_traces(config);
  const Traced whole = traced(config, 1, 1);
  const RandomBatch batch(config, kVocab, 11);
  int64_t tokens = 0;
  for (const int32_t length : batch.lengths) tokens += length;
  CHECK(tokens < batch.sequences * batch.time);
  CHECK(whole.trace.tokens() == tokens);
  for (int64_t t = 0; t < tokens; ++t) {
    const auto sample = as_index(whole.trace.samples[as_index(t)]);
    CHECK(whole.trace.positions[as_index(t)] < batch.lengths[sample]);
    CHECK(whole.trace.ids[as_index(t)] ==
          batch.inputs[sample * as_index(batch.time) + as_index(whole.trace.positions[as_index(t)])]);
  }
}

TEST_CASE("trace.tokens traces the first tokens of the batch, on whichever ranks they are") {
  const TrainConfig all = config_of("router: topk", "trace: {logits: true}"),
                    some = config_of("router: topk", "trace: {tokens: 20, logits: true}");
  const Traced whole = traced(all, 1, 1);
  for (const int ranks : {1, 2}) {
    const Traced first = traced(some, ranks, 2);
    REQUIRE(first.trace.tokens() == 20);
    CHECK_FALSE(first.trace.facts.is_complete);
    const auto is_beginning = [](const auto& part, const auto& of) {
      return part.size() < of.size() && std::equal(part.begin(), part.end(), of.begin());
    };
    CHECK(is_beginning(first.trace.ids, whole.trace.ids));
    for (size_t i = 0; i < 2; ++i) {
      const LayerTrace &part = first.trace.layers[i], &of = whole.trace.layers[i];
      CHECK(is_beginning(part.chosen, of.chosen));
      CHECK(part.logits.size() == 20 * 6);
      // The chosen experts are those with the largest logits.
      for (int64_t t = 0; t < 20; ++t) {
        const auto row = part.logits.begin() + t * 6;
        CHECK(std::max_element(row, row + 6) - row == part.expert(t, 0));
      }
    }
  }
}

TEST_CASE("the size of a trace is what a dry run predicts") {
  for (const char* trace : {"{tokens: 0}", "{tokens: 7}", "{logits: true}"}) {
    INFO(trace);
    const TrainConfig config = config_of("capacity: {kind: fixed, factor: 0.6}", std::string("trace: ") + trace);
    const double predicted = trace_bytes(config.trace, 30, true, {{6, 2, true}, {6, 2, true}});
    const double tokens = config.trace.tokens > 0 ? 7 : 30;
    CHECK(traced(config, 1, 1).bytes == predicted - 12 * tokens);  // the test's samples have no offsets and sources
  }
}

TEST_CASE("a run that goes on removes the traces of the steps after it") {
  const TemporaryFolder folder;
  for (const char* of : {"training", "validation"}) {
    make_folder(trace_folder(folder.path(), of));
    for (const int64_t step : {0, 5, 10, 11}) write_text_synced(trace_path(folder.path(), of, step), "");
  }
  remove_traces_after(folder.path(), 10);
  CHECK(traced_steps(folder.path(), "training") == std::vector<int64_t>{0, 5, 10});
  CHECK(traced_steps(folder.path(), "validation") == std::vector<int64_t>{0, 5, 10});
  remove_traces_after(folder.path(), -1);
  CHECK(traced_steps(folder.path(), "training").empty());
}
