// Compares the whole model's gradient with central differences in f64. The objective is that of training: the mean loss
// plus the weighted balance losses. A balance loss treats its assignment counts as constants. They are piecewise
// constant, so the difference quotient does the same as long as no routing decision changes, which is checked.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/config/config_reader.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 11;

struct Case {
  const char* name;
  const char* yaml;
};

// Every case is this configuration with changes.
static const char* kBase = R"(
model: {layers: 2, d_model: 8, d_ff: 12, init_std: 0.4, attention: {heads: 2}}
moe: {experts: 4, d_ff: 6, balance: [{kind: switch, coefficient: 0.3}, {kind: z, coefficient: 0.05}]}
data: {sequence: 5}
train: {batch: 3}
)";

static const Case kCases[] = {
    {"default", "{}"},
    {"tied head", "model: {tie_embeddings: true}"},
    {"learned positions", "model: {attention: {position: learned}}"},
    {"no positions, relu", "model: {activation: relu, attention: {position: none}}"},
    {"q/k norm, odd head size", "model: {attention: {qk_norm: head, d_head: 3}}"},
    {"q/k norm over all heads, grouped key/value heads",
     "model: {attention: {qk_norm: full, heads: 4, kv_heads: 2, d_head: 3}}"},
    {"grouped key/value heads, gelu", "model: {activation: gelu_tanh, attention: {heads: 4, kv_heads: 2}}"},
    {"glam arrangement", "model: {arrangement: glam}"},
    {"dense", "model: {arrangement: dense}"},
    {"shared experts", "moe: {shared_experts: 2}"},
    {"shared experts with a gate, dropout, micro-batches",
     "{moe: {shared_experts: 2, shared_gate: true}, model: {hidden_dropout: 0.2}, train: {micro_batches: 2}}"},
    {"dropout", "model: {dropout: 0.3}"},
    {"dropout in every place, shared experts, glam",
     "{model: {arrangement: glam, dropout: 0.1, hidden_dropout: 0.2, layer_dropout: 0.3, attention: {dropout: 0.2}}, "
     "moe: {dropout: 0.3, hidden_dropout: 0.25, router: {input_dropout: 0.3, jitter: 0.2}, shared_experts: 1}}"},
    {"dropout inside experts, biases, micro-batches",
     "{model: {bias: true}, moe: {hidden_dropout: 0.4}, train: {micro_batches: 2}}"},
    {"dropout inside experts that compete",
     "moe: {hidden_dropout: 0.4, strategy: {kind: compete, probability: 1, router_loss: 0}}"},
    {"dropout of outputs that balance losses and a competition use",
     "moe: {dropout: 0.3, hidden_dropout: 0.2, balance: [{kind: similarity, coefficient: 0.5}], strategy: {kind: "
     "compete, probability: 1, "
     "version: 2, detach: false, router_loss: 3, diversity: 2}}"},
    {"scheduled coefficients",
     "moe: {balance: [{kind: switch, coefficient: {kind: linear, from: 0, to: 40}}, {kind: z, coefficient: {kind: "
     "linear, from: 3, to: 0}}]}"},
    {"one strategy after another", "moe: {strategy: {kind: change, at: 2, first: compete, then: contrastive}}"},
    {"top-1 with a softmax over all experts", "moe: {router: {k: 1, softmax: all, renormalise: false}}"},
    {"top-3 with a renormalised softmax over all experts", "moe: {router: {k: 3, softmax: all, renormalise: true}}"},
    {"all experts", "moe: {router: {k: 4}}"},
    {"balanced per sequence",
     "moe: {balance: [{kind: switch, coefficient: 0.3, scope: sequence}, {kind: z, coefficient: 0.05, scope: "
     "sequence}]}"},
    {"micro-batches, dropout, tied, shared experts",
     "{model: {dropout: 0.2, tie_embeddings: true}, moe: {shared_experts: 1}, train: {micro_batches: 2}}"},
    {"micro-batches balanced one by one",
     "{moe: {balance: [{kind: switch, coefficient: 0.3, scope: rank}]}, train: {micro_batches: 2}}"},
    {"classifier of patches", "{task: classify, model: {attention: {causal: false, position: learned}}}"},
    {"classifier with a class token, q/k norm, shared experts",
     "{task: classify, model: {pooling: class_token, attention: {causal: false, qk_norm: head}}, moe: {shared_experts: "
     "1}}"},
    {"causal classifier, micro-batches, dropout", "{task: classify, model: {dropout: 0.2}, train: {micro_batches: 2}}"},
    {"classifier of texts, class token and tanh head, dropout, micro-batches",
     "{task: classify, model: {pooling: class_token, head: tanh, bias: true, dropout: 0.2}, train: {micro_batches: 2}, "
     "data: {labelled: {format: tsv}}}"},
    {"non-causal classifier of texts, post-norm, tanh head",
     "{task: classify, model: {pooling: mean, head: tanh, norm_place: post, attention: {causal: false}}, data: "
     "{labelled: {format: tsv}}}"},
    {"classifier by the last token, balanced per rank, a short context memory",
     "{task: classify, model: {pooling: last, attention: {memory: 2}}, moe: {balance: [{kind: switch, coefficient: "
     "0.3, "
     "scope: rank}, {kind: z, coefficient: 0.05, scope: sequence}]}, data: {labelled: {format: tsv}}}"},
    {"classifier, expert choice",
     "{task: classify, model: {attention: {causal: false}}, moe: {router: {kind: expert_choice, group: sequence}}}"},
    {"biases of queries, keys and values, q/k norm, grouped key/value heads",
     "model: {bias: {attention: qkv}, attention: {qk_norm: head, heads: 4, kv_heads: 2}}"},
    {"biases in attention and feed-forward layers, dense",
     "model: {bias: {attention: all, feed_forward: true}, arrangement: dense, norm: layer, activation: gelu_tanh}"},
    {"scaled frequencies of rope",
     "model: {attention: {rope_scaling: {kind: llama3, factor: 4, original_max_position: 5}}}"},
    {"more rows than tokens", "model: {vocab_size: 16}"},
    {"more rows than tokens, tied head", "model: {vocab_size: 16, tie_embeddings: true}"},
    {"classifier of texts, more rows than tokens",
     "{task: classify, model: {vocab_size: 16, pooling: last}, data: {labelled: {format: tsv}}}"},
    {"classifier of sounds, post-norm twice, learned positions",
     "{task: classify, model: {pooling: class_token, norm_place: post_twice, attention: {causal: false, position: "
     "learned}}, data: {labelled: {format: sound_folders}}}"},
    {"biases of the router and the head", "model: {bias: {router: true, head: true}}"},
    {"layer norm, biases", "model: {norm: layer, bias: true}"},
    {"post-norm, biases, glam, shared experts",
     "{model: {norm: layer, norm_place: post, bias: true, arrangement: glam}, moe: {shared_experts: 1}}"},
    {"post-norm twice, biases, relu, dropout, micro-batches",
     "{model: {norm: layer, norm_place: post_twice, bias: true, activation: relu, dropout: 0.2}, train: "
     "{micro_batches: "
     "2}}"},
    {"pairs, dropout, a loss per modality",
     "{task: pairs, model: {dropout: 0.2, attention: {causal: false, position: learned}, contrast: {width: 5}}, moe: "
     "{balance: [{kind: switch, coefficient: 0.3}, {kind: entropy_local, coefficient: 0.2, modality: second}, {kind: "
     "entropy_global, coefficient: 3, modality: first}, {kind: switch, coefficient: 0.2, modality: second, scope: "
     "sequence}]}, train: {batch: 5}}"},
    {"pairs, micro-batches, modality bias, biases, tanh head, pooled by the last token",
     "{task: pairs, model: {bias: true, head: tanh, pooling: last, contrast: {temperature: 0.5}}, moe: {modality_bias: "
     "true, balance: [{kind: entropy_global, coefficient: 3, modality: second, scope: rank}]}, train: {batch: 7, "
     "micro_batches: 3}}"},
    {"pairs, a constant temperature, dense, post-norm",
     "{task: pairs, model: {arrangement: dense, norm_place: post, attention: {causal: false}, contrast: "
     "{learn_temperature: false, temperature: 0.3}}}"},
    {"pairs of images and sounds, micro-batches, the last patch, all experts",
     "{task: pairs, model: {pooling: last, attention: {causal: false, position: learned}}, data: "
     "{labelled: {format: sound_folders}}, moe: {router: {kind: topk, k: 4}}, train: {batch: 7, micro_batches: 3}}"},
    {"classifier, post-norm, biases",
     "{task: classify, model: {norm_place: post, bias: true, attention: {causal: false}}}"},
};

static TrainConfig case_config(const Case& c, const std::string& more = "{}") {
  ConfigNode root = parse_config(kBase, "base");
  merge_config(root, parse_config(c.yaml, c.name));
  merge_config(root, parse_config(more, "more"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

static const Case& case_of(const std::string& name) {
  const auto found = std::find_if(std::begin(kCases), std::end(kCases), [&](const Case& c) { return c.name == name; });
  MOE_CHECK(found != std::end(kCases), "no case '{}'", name);
  return *found;
}

TEST_CASE("the models whose gradients are compared are of every task and kind of samples") {
  std::vector<TrainConfig> configs;
  for (const Case& c : kCases) configs.push_back(case_config(c));
  CHECK(missing_tasks(configs) == std::vector<std::string>{});
}

struct Objective {
  double value;
  std::vector<double> counts;  // assignments of every layer and expert
};

static Objective objective(TinyRun& run, const RandomBatch& batch) {
  const StepOutcome outcome = run.accumulate(batch, 3);
  const double tokens = batch.lengths.empty() ? static_cast<double>(batch.targets.size())
                                              : std::accumulate(batch.lengths.begin(), batch.lengths.end(), 0.0);
  double loss = outcome.loss * outcome.tokens / tokens;
  if (!batch.weights.empty()) {
    loss = 0;
    const auto signals = run.step.sample_signals();
    for (size_t i = 0; i < batch.weights.size(); ++i) {
      loss += batch.weights[i] * signals[i * kNumMeasuredSignals] / static_cast<double>(batch.weights.size());
    }
  }
  Objective result{loss + outcome.auxiliary, {}};
  for (const MoELayer* layer : run.state.model->moe_layers()) {
    result.counts.insert(result.counts.end(), layer->load().counts.begin(), layer->load().counts.end());
  }
  return result;
}

// Elements spread over the tensor, and the one with the largest gradient.
static std::vector<int64_t> sample(const std::vector<double>& gradient) {
  const auto n = static_cast<int64_t>(gradient.size());
  std::vector<int64_t> result;
  for (int64_t i = 0; i < std::min<int64_t>(n, 7); ++i)
    result.push_back(i * n / std::min<int64_t>(n, 7) + (n > 14 ? i % 2 : 0));
  const auto largest =
      std::max_element(gradient.begin(), gradient.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
  result.push_back(largest - gradient.begin());
  return result;
}

static void check_gradients(const Case& c, bool ignore_some, bool weighted = false) {
  INFO(c.name << (ignore_some ? ", with ignored targets" : "") << (weighted ? ", weighted" : ""));
  omp_set_num_threads(1);  // thousands of tiny steps
  TrainConfig config = case_config(c);
  if (weighted) config.curriculum.signals.weight[index_of(SampleSignal::loss)] = 1;  // they define the objective
  TinyRun run(config, kVocab, ProcessGroups::single(), DType::f64);
  RandomBatch batch(config, kVocab, 17);
  if (weighted) batch.weights = {1.7, 0.2, 0.6};
  if (ignore_some) {
    batch.targets[2] = batch.targets[6] = batch.targets[14] = kIgnoreTarget;
    if (!batch.labels.empty()) batch.labels[1] = kIgnoreTarget;
  }

  const Objective base = objective(run, batch);
  const auto gradients = named_gradients(run);
  for (const ParameterGroup group : kTrainedGroups) {
    run.state.parameters.for_each_named(group, run.state.parameters.buffer(group).value, [&](const NamedTensor& t) {
      const std::vector<double>& gradient = gradients.at(t.name);
      double* values = t.tensor.as<double>();
      for (const int64_t i : sample(gradient)) {
        const double value = values[i];
        INFO(t.name << "[" << i << "]");
        const auto at = [&](double offset) {
          values[i] = value + offset;
          const Objective result = objective(run, batch);
          values[i] = value;
          REQUIRE(result.counts == base.counts);
          return result.value;
        };
        constexpr double h = 2e-5;
        const double numeric = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);  // error of order h^4
        CHECK(gradient[as_index(i)] == Approx(numeric).epsilon(1e-6).margin(1e-8));
      }
    });
  }
}

TEST_CASE("the whole model's gradient equals central differences") {
  for (const Case& c : kCases) check_gradients(c, false);
}

TEST_CASE("the gradient is right when some targets are ignored") {
  for (const char* name : {"default", "balanced per sequence", "classifier of patches",
                           "classifier with a class token, q/k norm, shared experts"}) {
    check_gradients(case_of(name), true);
  }
}

TEST_CASE("the gradient of weighted samples is that of their weighted losses") {
  for (const char* name :
       {"default", "dropout", "dropout inside experts, biases, micro-batches",
        "micro-batches, dropout, tied, shared experts", "classifier of patches",
        "causal classifier, micro-batches, dropout", "pairs, a constant temperature, dense, post-norm"}) {
    check_gradients(case_of(name), false, true);
  }
}

TEST_CASE("a router with one expert per token gets a gradient") {
  TinyRun run(case_config(case_of("top-1 with a softmax over all experts")), kVocab, ProcessGroups::single(),
              DType::f64);
  run.accumulate(RandomBatch(run.config, kVocab, 17), 0);
  for (const auto& [name, gradient] : named_gradients(run)) {
    if (name.find("router") == std::string::npos) continue;
    INFO(name);
    CHECK(std::any_of(gradient.begin(), gradient.end(), [](double g) { return std::abs(g) > 1e-4; }));
  }
}

// At the usual size of initial values, because large ones let errors grow from layer to layer, and with all experts:
// rounding may change a choice. It may also move a number across the corner of relu or of the loss on similarity.
TEST_CASE("gradients with products in bf16 are within 2e-2 of those in f64, tensor by tensor") {
  for (const Case& c : kCases) {
    TrainConfig config = case_config(c, "moe: {router: {kind: topk, k: 4}, balance: [z]}");
    if (config.model.activation == "relu") continue;
    config.model.init_std = 0.05;
    config.model.d_model = 64;
    config.model.d_ff = config.moe.d_ff = 48;
    config.data.sequence = 16;
    TinyRun exact(config, kVocab, ProcessGroups::single(), DType::f64);
    TinyRun rounded(config, kVocab, ProcessGroups::single(), Precision{.products = Products::bf16}, Device::cpu);
    const RandomBatch batch(config, kVocab, 17);
    INFO(c.name);
    CHECK(objective(rounded, batch).value == Approx(objective(exact, batch).value).epsilon(1e-3));
    const auto gradients = named_gradients(rounded);
    for (const auto& [name, gradient] : named_gradients(exact)) {
      INFO(name);
      CHECK(distance(gradients.at(name), gradient) < 2e-2);
    }
  }
}
