#include "core/model/model_summary.h"

#include "core/step/training_state.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

TEST_CASE("the summary counts the parameters of the parameter store") {
  for (const char* yaml :
       {"{}", "model: {tie_embeddings: true, activation: relu}",
        "model: {attention: {position: learned, qk_norm: head}}",
        "model: {attention: {heads: 4, kv_heads: 2, qk_norm: full}}",
        "model: {attention: {heads: 8, kv_heads: 2, d_head: 5}, activation: gelu_tanh}",
        "model: {arrangement: glam, layers: 5, d_ff: 40}", "model: {arrangement: dense}",
        "{model: {arrangement: [dense, moe, moe, dense]}, moe: {shared_experts: 2, d_ff: 24}}",
        "moe: {shared_experts: 2, shared_gate: true}", "model: {bias: {attention: all, feed_forward: true}}",
        "model: {vocab_size: 50}", "moe: {experts: 5, router: {k: 1, softmax: all, renormalise: false}}",
        "moe: {experts: 3, router: {k: 3}}", "moe: {router: expert_choice}",
        "moe: {router: {kind: random_frozen, share: 0.25}}", "moe: {router: stable}", "moe: {router: hyper}",
        "moe: {router: sigmoid_bias}", "moe: {router: relu}"}) {
    INFO(yaml);
    constexpr int64_t vocab = 37;
    const TrainConfig config = config_from(yaml);
    const ModelSummary summary = summarise(config, vocab);
    TinyRun run(config, vocab, ProcessGroups::single());
    int64_t all = 0, experts = 0;
    for (const Parameter& p : run.state.parameters.parameters()) {
      all += p.shape.size();
      if (p.group == ParameterGroup::expert) experts += p.shape.size();
    }
    CHECK(summary.parameters == all);
    CHECK(summary.expert_parameters == experts);
    const int64_t k = experts_per_token(config);
    CHECK(summary.active_parameters == all - experts / config.moe.experts * (config.moe.experts - k));
  }
}

TEST_CASE("useful operations of one dense layer, counted by hand") {
  const TrainConfig config = config_from(
      "{model: {layers: 1, d_model: 4, d_ff: 10, arrangement: dense, activation: relu, attention: {heads: 2}}, data: "
      "{sequence: 6}}");
  // Matrices: qkv 4x12, output 4x4, feed-forward 2 x 4x10, head 9x4; attention: 2 heads x 2 dimensions x 6 tokens.
  CHECK(summarise(config, 9).flops_per_token == 6 * (48 + 16 + 80 + 36) + 6 * 4 * 6);
}

TEST_CASE("useful operations of a classifier, counted by hand") {
  const TrainConfig config = config_from(
      "{task: classify, model: {layers: 1, d_model: 4, d_ff: 10, pooling: class_token, arrangement: dense, activation: "
      "relu, attention: {heads: 2, causal: false}}, data: {sequence: 5}}");
  // Matrices: qkv 4x12, output 4x4, feed-forward 2 x 4x10, patches 6x4; one head 9x4 for 6 tokens; attention to all 6.
  CHECK(summarise(config, tiny_shape(config, 9)).flops_per_token ==
        Approx(6 * (48 + 16 + 80 + 24) + 6 * 36 / 6.0 + 12 * 4 * 6));
}

TEST_CASE("experts per token are those that a token uses, not the slots") {
  const auto flops = [](const char* router) {
    return summarise(config_from(fmt::format("moe: {{experts: 8, router: {}}}", router)), 37).flops_per_token;
  };
  const auto experts = [](const char* router) {
    return experts_per_token(config_from(fmt::format("moe: {{experts: 8, router: {}}}", router)));
  };
  CHECK(experts("{kind: expert_choice, capacity: 2}") == 2);
  CHECK(experts("{kind: relu, k: 3}") == 3);
  CHECK(experts("random_frozen") == 8);  // at the end of the run
  CHECK(flops("{kind: expert_choice, capacity: 2}") == flops("{k: 2}"));
  CHECK(flops("{kind: relu, k: 3}") == flops("{k: 3}"));
  const double two = flops("{k: 2}"), four = flops("{k: 4}");
  CHECK(flops("{k: {kind: linear, from: 4, to: 2}}") == Approx((two + four) / 2).epsilon(0.01));
}

TEST_CASE("memory is planned for the slots that expert choice can fill, not for all slots") {
  const auto bytes = [](const char* router) {
    const TrainConfig config = config_from(fmt::format("moe: {{experts: 64, d_ff: 256, router: {}}}", router));
    const ProcessGroups groups = ProcessGroups::single();
    return plan_memory({config, 37, groups, {100, 1000, 1}}).activations;
  };
  const size_t two = bytes("{k: 2}"), choice = bytes("{kind: expert_choice, capacity: 2}");
  CHECK(choice < two * 3 / 2);
  CHECK(bytes("{k: 16}") > two * 2);
}
