// model.recompute changes no bit of a step: gradients, losses and all sums are those of a step that keeps everything.
#include <map>
#include <string>
#include <vector>

#include "core/checkpoint/checkpoint.h"
#include "core/config/config_reader.h"
#include "core/config/recompute.h"
#include "core/model/model.h"
#include "core/ops/initialise.h"
#include "core/record/run_folder.h"
#include "tests/support/capacity_variants.h"
#include "tests/support/catch.h"
#include "tests/support/forms.h"
#include "tests/support/layer_fixture.h"
#include "tests/support/strategy_variants.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 23;

// Dropout everywhere, so that a second pass with other random numbers would show.
static const char* kBase = R"(
model: {layers: 3, d_model: 16, d_ff: 20, arrangement: [moe, dense, moe], dropout: 0.1, hidden_dropout: 0.1, layer_dropout: 0.2, init_std: 0.3, attention: {heads: 2, qk_norm: head, dropout: 0.1}}
moe: {experts: 6, d_ff: 12, shared_experts: 1, dropout: 0.1, hidden_dropout: 0.1}
data: {sequence: 6}
train: {batch: 4, steps: 20}
)";

// Two updates, in either half of the run.
static constexpr int64_t kUpdates[] = {1, 10};

struct Layout {
  int ranks, expert_parallel, micro_batches;
  Precision precision{};
};

// Everything that the two updates computed on each rank.
using Results = std::vector<std::map<std::string, std::vector<double>>>;

static void add_outcome(std::map<std::string, std::vector<double>>& result, const std::string& where, TinyRun& run,
                        const StepOutcome& outcome) {
  Model& model = *run.state.model;
  result[where + "outcome"] = {outcome.loss, outcome.auxiliary, outcome.norm, outcome.accuracy, outcome.tokens};
  result[where + "sums"] = {model.sums().begin(), model.sums().end()};
  result[where + "loss sums"] = {model.loss_sums().begin(), model.loss_sums().end()};
  const auto signals = run.step.sample_signals();
  result[where + "signals"] = {signals.begin(), signals.end()};
}

static Results results_of(TrainConfig config, const Layout& layout, const std::string& recompute) {
  config.model.recompute = recompute;
  config.train.micro_batches = layout.micro_batches;
  Results results(static_cast<size_t>(layout.ranks));
  const auto rank = [&](const ProcessGroups& groups) {
    std::map<std::string, std::vector<double>>& result = results[static_cast<size_t>(groups.world->rank())];
    TinyRun run(config, kVocab, groups, layout.precision, Device::cpu);
    for (const int64_t update : kUpdates) {
      const std::string where = fmt::format("update {}, ", update);
      const RandomBatch batch(config, kVocab, 11, static_cast<uint64_t>(update));
      add_outcome(result, where, run, run.accumulate(batch, update));
      for (const auto& [name, gradient] : named_gradients(run)) result[where + "gradient of " + name] = gradient;
      run.clear_gradients();
      add_outcome(result, where + "again, ", run, run.run(batch, update, 3e-3));
    }
    for (const auto& [name, value] : named_values(run)) result["value of " + name] = value;
  };
  if (layout.ranks == 1) {
    rank(ProcessGroups::single());
  } else {
    test::run_ranks(layout.ranks, [&](const std::shared_ptr<Communicator>& world) {
      rank(ProcessGroups::make(world, layout.expert_parallel, config.moe.experts));
    });
  }
  return results;
}

static void check_equal_bits(const std::string& name, const TrainConfig& config, const Layout& layout) {
  const Results expected = results_of(config, layout, "none");
  for (const char* recompute : {"experts", "blocks"}) {
    INFO(name << "; " << recompute << ", " << layout.ranks << " ranks, " << layout.micro_batches << " micro-batches");
    const Results found = results_of(config, layout, recompute);
    for (size_t r = 0; r < expected.size(); ++r) {
      REQUIRE(found[r].size() == expected[r].size());
      for (const auto& [what, values] : expected[r]) {
        INFO(what);
        CHECK(found[r].at(what) == values);
      }
    }
  }
}

static TrainConfig config_with(const std::string& more) {
  ConfigNode root = parse_config(kBase, "base");
  merge_config(root, parse_config(more, "more"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

static const Layout kLayouts[] = {{1, 1, 2}, {2, 2, 1}};

static std::string strategy_text(const std::string& kind) {
  return kind == "compete" ? "{kind: compete, probability: 1}" : kind;
}

TEST_CASE("recomputation changes no bit of a step with any strategy and router") {
  for (const Member& router : family<Router>()) {
    for (const Member& strategy : family<Strategy>()) {
      const bool both_hierarchical = router.name == "hierarchical" && strategy.name == "hierarchical";
      const TrainConfig config =
          config_with(fmt::format("moe: {{experts: {}, router: {}, strategy: {}}}", both_hierarchical ? 12 : 6,
                                  router.name, strategy_text(strategy.name)));
      for (const Layout& layout : kLayouts) check_equal_bits(router.name + " and " + strategy.name, config, layout);
    }
  }
}

// The gradients of a step whose routers change between forward and backward.
static std::map<std::string, std::vector<double>> gradients_after_change(TrainConfig config,
                                                                         const std::string& recompute) {
  config.model.recompute = recompute;
  TinyRun run(config, kVocab, ProcessGroups::single());
  RandomBatch random(config, kVocab, 11);
  Context& ctx = run.state.ctx;
  ctx.step = 1;
  TokenBatch batch{random.sequences,
                   random.time,
                   as_tensor(std::span(random.inputs)),
                   as_tensor(std::span(random.targets)),
                   random.sequences * random.time,
                   random.sequences};
  batch.domains = as_tensor(std::span(random.domains));
  run.state.model->forward(ctx, batch);
  run.state.complete_sums(run.groups);
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find(".router.") != std::string::npos) fill_constant(ctx, p.value, 0.1);
  }
  run.state.model->losses_and_backward(ctx, batch, 1);
  return named_gradients(run);
}

TEST_CASE("no router chooses again: backward has the choices of forward, whatever became of the router") {
  std::vector<std::string> layers;
  for (const Member& router : family<Router>()) layers.push_back(fmt::format("{{router: {}}}", router.name));
  for (const Member& strategy : family<Strategy>()) {
    layers.push_back(fmt::format("{{strategy: {}}}", strategy_text(strategy.name)));
  }
  for (const std::string& layer : layers) {
    INFO(layer);
    const TrainConfig config = config_with("moe: " + layer);
    const auto expected = gradients_after_change(config, "none");
    for (const char* recompute : {"experts", "blocks"}) {
      const auto found = gradients_after_change(config, recompute);
      for (const auto& [name, gradient] : expected) {
        INFO(recompute << ", " << name);
        CHECK(found.at(name) == gradient);
      }
    }
  }
}

TEST_CASE("recomputation changes no bit of a step with any form of a router") {
  for (const test::Form& form : test::forms_of<Router>()) {
    const std::string router =
        fmt::format("{{kind: {}, {}, input_dropout: 0.2, jitter: 0.1}}", form.kind, form.option());
    for (const Layout& layout : kLayouts) {
      check_equal_bits(router, config_with(fmt::format("moe: {{router: {}}}", router)), layout);
    }
  }
}

TEST_CASE("recomputation changes no bit of a step with any variant of a strategy") {
  for (const std::string& strategy : test::strategy_variants()) {
    for (const char* router : {"{kind: topk, input_dropout: 0.2}", "{kind: noisy_topk, learn_temperature: true}"}) {
      const TrainConfig config = config_with(fmt::format("moe: {{router: {}, strategy: {}}}", router, strategy));
      for (const Layout& layout : kLayouts) check_equal_bits(strategy + ", " + router, config, layout);
    }
  }
}

TEST_CASE("recomputation changes no bit of a step with any capacity and balance loss") {
  std::vector<std::string> layers;
  for (const Member& capacity : family<Capacity>()) {
    layers.push_back("{capacity: " + test::capacity_variants().at(capacity.name) + "}");
  }
  for (const Member& loss : family<BalanceLoss>()) {
    for (const char* scope : {"global", "sequence", "rank"}) {
      layers.push_back(fmt::format("{{router: {}, balance: [{{kind: {}, scope: {}, coefficient: 0.5}}]}}",
                                   test::router_for(loss.name), loss.name, scope));
    }
  }
  layers.push_back("{capacity: {kind: fixed, factor: 0.6, renormalise: true, drop: score}, strategy: stochastic}");
  for (const std::string& layer : layers) {
    for (const Layout& layout : kLayouts) check_equal_bits(layer, config_with("moe: " + layer), layout);
  }
}

static const char* kModels[] = {
    "{curriculum: {sampler: contiguous}, model: {attention: {memory: 9}}}",
    "{curriculum: {sampler: contiguous}, model: {attention: {memory: 4, position: relative}}}",
    "model: {norm: layer, norm_place: post, bias: true}",
    "{model: {norm_place: post_twice, activation: relu, attention: {qk_norm: full}}, moe: {shared_gate: true}}",
    "{model: {tie_embeddings: true, bias: {attention: all, feed_forward: true}, attention: {position: learned}}}",
    "{curriculum: {sampler: importance, signals: {router_entropy: 1, expert_variance: 1, loss: 1}}}",
    "{moe: {layers: [{at: 0, router: {kind: hash, k: 2}, capacity: 0.7}, {at: last, experts: 5, strategy: "
    "stochastic}]}}",
    "{task: classify, model: {pooling: class_token, attention: {causal: false, position: learned}}}",
    "{task: classify, model: {head: tanh, pooling: last}, data: {labelled: {format: tsv}}, moe: {strategy: "
    "stochastic}}",
    "{task: classify, model: {norm_place: post, attention: {causal: false}}, data: {labelled: {format: tsv}}, moe: "
    "{router: {kind: expert_choice, group: sequence}}}",
    "{task: classify, model: {pooling: mean, attention: {causal: false, position: learned}}, data: {labelled: {format: "
    "sound_folders}}}",
    "model: {arrangement: dense}",
    "{data: {documents: separate}, model: {attention: {position: learned, dropout: 0.2}}}",
    "data: {documents: fit}",
    "{task: pairs, model: {attention: {causal: false}}, moe: {modality_bias: true, balance: [{kind: entropy_local, "
    "modality: second}], router: {kind: topk, input_dropout: 0.2}}}",
    "{task: pairs, model: {attention: {causal: false}}, data: {labelled: {format: sound_folders}}}",
};

TEST_CASE("recomputation changes no bit of a step of any model") {
  std::vector<TrainConfig> configs;
  for (const char* model : kModels) {
    const TrainConfig config = configs.emplace_back(config_with(model));
    for (const Layout& layout : {Layout{1, 1, 1}, Layout{1, 1, 3}, Layout{2, 2, 2}, Layout{3, 1, 1}}) {
      check_equal_bits(model, config, layout);
    }
    check_equal_bits(std::string(model) + " in bf16", config, {1, 1, 1, {.products = Products::bf16}});
    check_equal_bits(std::string(model) + " in bf16", config, {2, 2, 2, {.products = Products::bf16}});
  }
  CHECK(missing_tasks(configs) == std::vector<std::string>{});
}

// Activations of a rank: as planned, and as used by an update.
struct Activations {
  size_t planned, used;
};

static std::vector<Activations> activations_of(TrainConfig config, int ranks, const std::string& recompute) {
  config.model.recompute = recompute;
  std::vector<Activations> result(static_cast<size_t>(ranks));
  const auto rank = [&](const ProcessGroups& groups) {
    TinyRun run(config, kVocab, groups);
    run.run(RandomBatch(config, kVocab, 11), 10, 1e-3);
    const MemoryPlan plan = plan_memory({config, kVocab, groups, {20, 128, 1}});
    result[static_cast<size_t>(groups.world->rank())] = {plan.activations, run.state.activations().peak()};
  };
  if (ranks == 1) {
    rank(ProcessGroups::single());
  } else {
    test::run_ranks(ranks, [&](const std::shared_ptr<Communicator>& world) {
      rank(ProcessGroups::make(world, ranks, config.moe.experts));
    });
  }
  return result;
}

TEST_CASE("the memory plan equals what a step with recomputation uses, and recomputation needs less") {
  for (const char* yaml : {"{}", "moe: {strategy: stochastic}", "moe: {strategy: hierarchical}",
                           "moe: {strategy: {kind: compete, probability: 1}}", "model: {arrangement: dense}",
                           "{moe: {strategy: {kind: contrastive, contrast: 1}}, train: {micro_batches: 2}}"}) {
    // With the router `uniform` every rank gets as many rows as planned.
    for (const int ranks : {1, 2}) {
      INFO(yaml << ", " << ranks << " ranks");
      TrainConfig config = config_with(yaml);
      config.data.sequence = 32;
      if (ranks > 1) config.moe.router.select("uniform");
      size_t before = 0;
      for (const std::string& recompute : recompute_values()) {
        INFO(recompute);
        const std::vector<Activations> found = activations_of(config, ranks, recompute);
        for (const Activations& a : found) CHECK(a.used == a.planned);
        const size_t planned = found[0].planned;
        if (before > 0) CHECK(planned < before);
        before = planned;
      }
    }
  }
}

TEST_CASE("the memory plan of a strategy that changes is enough for both, with recomputation too") {
  for (const std::string& recompute : recompute_values()) {
    for (const char* strategies : {"first: stochastic, then: plain", "first: plain, then: stochastic",
                                   "first: plain, then: {kind: compete, probability: 1}",
                                   "first: {kind: compete, probability: 1}, then: {kind: contrastive, contrast: 1}"}) {
      INFO(recompute << ", " << strategies);
      TrainConfig config = config_with(fmt::format("moe: {{strategy: {{kind: change, {}}}}}", strategies));
      config.model.recompute = recompute;
      TinyRun run(config, kVocab, ProcessGroups::single());
      for (const int64_t update : kUpdates) CHECK_NOTHROW(run.run(RandomBatch(config, kVocab, 11), update, 1e-3));
    }
  }
}

TEST_CASE("blocks keep little more than their inputs and the routing") {
  TrainConfig config = config_with("{model: {d_model: 64, d_ff: 256}, moe: {d_ff: 256}, data: {sequence: 32}}");
  const auto activations = [&](int64_t layers) {
    config.model.layers = layers;
    config.model.arrangement = {"switch"};
    config.model.recompute = "blocks";
    return plan_memory({config, kVocab, ProcessGroups::single(), {20, 128, 1}}).activations;
  };
  const double more = static_cast<double>(activations(9) - activations(4)) / 5;
  const double tokens = 4 * 32, input = tokens * 64 * 4;
  CHECK(more > input);
  CHECK(more < 1.5 * input);
}

TEST_CASE("a run goes on with another recomputation, and its results stay the same") {
  const TemporaryFolder folder;
  TrainConfig config = config_with("moe: {router: sigmoid_bias, capacity: {kind: fixed, factor: 0.8}}");
  const auto update = [](TinyRun& run, int64_t i) {
    run.run(RandomBatch(run.config, kVocab, 11, static_cast<uint64_t>(i)), i, 1e-3);
  };
  TinyRun whole(config, kVocab, ProcessGroups::single());
  for (int64_t i = 0; i < 3; ++i) update(whole, i);
  RunState state;
  for (const char* recompute : {"blocks", "none", "experts"}) {
    config.model.recompute = recompute;
    TinyRun part(config, kVocab, ProcessGroups::single());
    const CheckpointFolder checkpoints(folder.path());
    if (state.step > 0) load_tensors(checkpoints.path(state.step), part.state.parameters, part.state.optimizer.get());
    update(part, state.step++);
    checkpoints.save(state, part.state.parameters, *part.state.optimizer, part.groups, {});
    if (state.step == 3) CHECK(named_values(part) == named_values(whole));
  }
  CHECK(may_differ("model.recompute"));
}
