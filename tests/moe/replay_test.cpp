// The router that repeats the choices of a traced run.
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "core/checkpoint/files.h"
#include "core/trace/step_trace.h"
#include "tests/moe/router_decision.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using namespace moe::test;

static constexpr int64_t kExperts = 5, kSlots = 2;

// A run whose first update had 3 samples of 4 tokens. Token t went to the experts t and t + 2 modulo 5, except that
// token 1 had one expert and token 2 none.
static StepTrace made_up_trace() {
  StepTrace trace{.facts = {.step = 1, .of = "training", .samples = 3, .sequence = 4, .is_complete = true},
                  .ids = {},
                  .next = {},
                  .samples = {},
                  .positions = {},
                  .offsets = {},
                  .layers = {{.block = 1,  // that of LayerFixture
                              .experts = kExperts,
                              .slots = kSlots,
                              .chosen = {},
                              .weights = {},
                              .dropped = {},
                              .logits = {}}}};
  LayerTrace& layer = trace.layers[0];
  for (int32_t t = 0; t < 12; ++t) {
    trace.samples.push_back(t / 4);
    trace.positions.push_back(t % 4);
    for (int32_t s = 0; s < kSlots; ++s) {
      const bool is_empty = t == 2 || (t == 1 && s == 1);
      layer.chosen.push_back(is_empty ? kNoExpert : (t + 2 * s) % 5);
      layer.weights.push_back(is_empty ? 0.0f : 0.125f * static_cast<float>(1 + t % 3 + s));
    }
  }
  return trace;
}

static void write(const TemporaryFolder& folder, const StepTrace& trace) {
  make_folder(trace_folder(folder.path(), "training"));
  replace_text(trace_path(folder.path(), "training", trace.facts.step), to_file(trace));
}

static MoEConfig replay_config(const TemporaryFolder& folder, const std::string& more = "") {
  return router_config("{kind: replay, from: " + folder.path() + more + "}", static_cast<int>(kExperts));
}

TEST_CASE("replay sends tokens to the experts of the traced run, with a softmax of its own logits over them") {
  const TemporaryFolder folder;
  const StepTrace trace = made_up_trace();
  write(folder, trace);
  Decision d(replay_config(folder), 3, 4);
  d.run();
  const LayerTrace& layer = trace.layers[0];
  for (int64_t t = 0; t < 12; ++t) {
    double sum = 0;
    for (int64_t s = 0; s < kSlots; ++s) {
      const int32_t expert = layer.expert(t, s);
      CHECK(d.routing.indices.as<int32_t>()[t * kSlots + s] == expert);
      if (expert != kNoExpert) sum += std::exp(get(d.routing.logits, t * kExperts + expert));
    }
    for (int64_t s = 0; s < kSlots; ++s) {
      const int32_t expert = layer.expert(t, s);
      const double expected = expert == kNoExpert ? 0 : std::exp(get(d.routing.logits, t * kExperts + expert)) / sum;
      CHECK(get(d.routing.weights, t * kSlots + s) == Approx(expected));
    }
  }
  // At evaluation it is topk.
  d.f.ctx.training = false;
  d.run();
  Decision topk(router_config("topk", static_cast<int>(kExperts)), 3, 4);
  topk.f.ctx.training = false;
  topk.run();
  for (int64_t t = 0; t < 12; ++t) CHECK(d.chosen(t) == topk.chosen(t));
  CHECK(values(d.routing.weights) == values(topk.routing.weights));
}

TEST_CASE("replay with weights: recorded gives the experts the traced weights, and its router no gradient") {
  const TemporaryFolder folder;
  const StepTrace trace = made_up_trace();
  write(folder, trace);
  Decision d(replay_config(folder, ", weights: recorded"), 3, 4);
  d.run();
  for (int64_t i = 0; i < 12 * kSlots; ++i) CHECK(get(d.routing.weights, i) == trace.layers[0].weights[as_index(i)]);
  d.f.forward(d.batch, d.x);
  d.f.layer->backward(d.f.ctx, d.batch, d.f.ctx.output(d.x.shape), d.f.ctx.normal(d.x.shape, 2));
  for (const Differentiable& p : parameters_of(d.f.store)) {
    const bool is_router = p.name.find(".router.") != std::string::npos;
    CHECK((dot(p.gradient, p.gradient) == 0) == is_router);
  }
}

TEST_CASE("replay: gradients of input and parameters, with a capacity and a noisy second pass too") {
  const TemporaryFolder folder;
  write(folder, made_up_trace());
  const std::string router = "router: {kind: replay, from: " + folder.path();
  for (const std::string& layer :
       {router + "}", router + ", softmax: all, renormalise: false}",
        router + "}, capacity: {kind: fixed, factor: 0.6, renormalise: true}", router + ", weights: recorded}",
        router + "}, strategy: {kind: stochastic, statistics: running, uncertainty: 0}"}) {
    INFO(layer);
    LayerFixture f(moe_config("{experts: 5, balance: [{kind: z, coefficient: 3}], " + layer + "}"));
    const TokenBatch batch = make_batch(f.ctx, 3, 4);
    const Tensor d_y = f.ctx.normal({12, kModelWidth}, 2), d_x = f.ctx.output(d_y.shape);
    const Tensor x = f.smooth_inputs(batch, d_y);
    f.forward(batch, x);
    const auto counts = f.counts();
    f.layer->backward(f.ctx, batch, d_x, d_y);
    auto tensors = parameters_of(f.store);
    for (Differentiable& p : tensors) p.may_vanish = p.name.find("merge_gate") != std::string::npos;  // no noise yet
    if (layer.find("stochastic") == std::string::npos) tensors.push_back({"x", x, d_x});
    check_gradients([&] { return dot(f.forward(batch, x), d_y) + f.layer->auxiliary_loss(); }, tensors,
                    {.samples = 20, .step = 5e-5});
    CHECK(f.counts() == counts);
  }
}

TEST_CASE("replay gives every rank the choices of its own tokens") {
  const TemporaryFolder folder;
  write(folder, made_up_trace());
  const MoEConfig config = replay_config(folder);
  const StepInput input = step_input(3, 4);
  const StepResult whole = run_step(config, input, {3}, 1);
  check_same_step(run_step(config, input, {2, 1}, 1), whole);
  check_same_step(run_step(config, input, {1, 2}, 2), whole);
  check_same_step(run_step(config, input, {0, 3}, 2), whole);
}

TEST_CASE("replay refuses another batch than the traced one") {
  const TemporaryFolder folder;
  StepTrace trace = made_up_trace();
  write(folder, trace);
  const auto refused = [&](const std::string& words, int64_t time = 4) {
    Decision d(replay_config(folder), 3, time);
    CHECK_THROWS_WITH(d.run(), Catch::Contains(words));
  };
  refused("has samples of 4 tokens, this run's have 5", 5);
  // make_batch() draws ids; the first one that is not that of the trace is named.
  trace.ids.assign(12, -5);
  write(folder, trace);
  refused("had the token -5 at place 0 of its batch");
  trace.ids.clear();
  trace.facts.is_complete = false;
  write(folder, trace);
  refused("has not all tokens of its update");
  trace.facts.is_complete = true;
  trace.layers[0].block = 3;
  write(folder, trace);
  refused("has no block 1");
  trace.layers[0].block = 1;
  trace.layers[0].experts = 6;
  write(folder, trace);
  refused("2 of 6 experts per token in block 1; this run has 2 of 5");
  std::filesystem::remove(trace_path(folder.path(), "training", 1));
  refused("step-00000001.safetensors");
  CHECK_THROWS_WITH(LayerFixture(moe_config(
                        "{experts: 5, strategy: hierarchical, router: {kind: replay, from: " + folder.path() + "}}")),
                    Catch::Contains("strategy hierarchical"));
}
