#include "core/convert/exportable.h"

#include "core/convert/hf_layout.h"
#include "core/convert/method_lines.h"
#include "core/convert/why_not_exportable.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static PlainForm form_of(const std::string& yaml, uint64_t update = 0) {
  return plain_form(config_from(yaml), 50, RunLength{100, 1000, 10}, update);
}

static std::string layout_of(const std::string& yaml) {
  const PlainForm form = form_of(yaml);
  INFO(to_words(form.refusals));
  CHECK(form.refusals.empty());
  return choose_layout(form.model, "").name;
}

TEST_CASE("the layout follows from the model") {
  const std::string head = "model: {attention: {qk_norm: head}}\n";
  CHECK(layout_of("") == "mixtral");
  CHECK(layout_of(head) == "qwen3_moe");
  CHECK(layout_of("model: {attention: {qk_norm: full}}") == "olmoe");
  CHECK(layout_of("moe: {router: switch}") == "qwen2_moe");
  CHECK(layout_of("moe: {shared_experts: 1}") == "qwen2_moe");
  CHECK(layout_of("moe: {shared_experts: 1, shared_gate: true}") == "qwen2_moe");
  CHECK(layout_of("model: {arrangement: glam}") == "qwen2_moe");
  CHECK(layout_of(head + "moe: {router: sigmoid_bias, shared_experts: 2}") == "dots1");
  CHECK(layout_of("model: {arrangement: dense}") == "llama");
  CHECK(layout_of("model: {arrangement: dense, attention: {qk_norm: head}}") == "qwen3");
  CHECK(layout_of("moe: {strategy: compete}") == "mixtral");
  CHECK(layout_of("moe: {router: reinforce}") == "mixtral");
  CHECK(layout_of("moe: {router: {kind: bayesian, posterior: ensemble}}") == "mixtral");
  CHECK(layout_of("moe: {capacity: 1.25}") == "mixtral");
}

TEST_CASE("a requested layout must be exact, and a model without one is refused with the reasons") {
  const PlainModel model = form_of("").model;
  CHECK(choose_layout(model, "qwen2_moe").name == "qwen2_moe");
  CHECK_THROWS_WITH(choose_layout(model, "olmoe"), Catch::Contains("--layout olmoe") && Catch::Contains("norm"));
  CHECK_THROWS_AS(choose_layout(model, "gpt2"), UsageError);
  CHECK_THROWS_AS(choose_layout(model, "bert"), UsageError);
  const PlainModel none = form_of("moe: {router: sigmoid_bias}").model;
  CHECK_THROWS_WITH(choose_layout(none, ""), Catch::Contains("mixtral") && Catch::Contains("dots1"));
}

static std::string refusal(const std::string& yaml, uint64_t update = 0) {
  return to_words(form_of(yaml, update).refusals);
}

TEST_CASE("what no layout computes is refused by its key") {
  using Catch::Contains;
  CHECK_THAT(refusal("model: {activation: relu}"), Contains("model.activation"));
  CHECK_THAT(refusal("model: {norm: layer}"), Contains("model.norm:"));
  CHECK_THAT(refusal("model: {norm_place: post}"), Contains("model.norm_place"));
  CHECK_THAT(refusal("model: {attention: {position: none}}"), Contains("model.attention.position"));
  CHECK_THAT(refusal("model: {attention: {d_head: 5}}"), Contains("model.attention.d_head"));
  CHECK_THAT(refusal("model: {bias: {router: true}}"), Contains("model.bias.router"));
  CHECK_THAT(refusal("model: {bias: {head: true}}"), Contains("model.bias.head"));
  CHECK_THAT(refusal("moe: {router: hash}"), Contains("moe.router: hash"));
  CHECK_THAT(refusal("moe: {router: cosine}"), Contains("moe.router: cosine"));
  CHECK_THAT(refusal("moe: {router: hyper}"), Contains("bias"));
  CHECK(refusal("moe: {router: {kind: hyper, form: ours}}").empty());
  CHECK_THAT(refusal("moe: {strategy: hierarchical}"), Contains("moe.strategy: hierarchical"));
  CHECK_THAT(refusal("moe: {capacity: {kind: fixed, evaluation: 2}}"), Contains("moe.capacity"));
  CHECK_THAT(refusal("moe: {layers: [{at: 0, experts: 4}]}"), Contains("moe.layers"));
  CHECK(refusal("moe: {layers: [{at: 0, balance: []}]}").empty());
}

TEST_CASE("a change of strategies counts as the one that is in force") {
  const std::string change = "moe: {strategy: {kind: change, first: plain, then: contrastive, at: 50}}";
  CHECK(refusal(change, 10).empty());
  CHECK(refusal(change, 60).empty());
}

TEST_CASE("scheduled quantities have the value of the last update") {
  const std::string yaml = "moe: {router: {kind: topk, k: {kind: linear, from: 4, to: 2}}}";
  CHECK(form_of(yaml, 0).model.experts.routing.k == 4);
  CHECK(form_of(yaml, 99).model.experts.routing.k == 2);
  const std::string warm = "moe: {router: {kind: topk, temperature: {kind: linear, from: 2, to: 1}}}";
  CHECK(form_of(warm, 50).routers.begin()->second.temperature == Approx(1.5));
}

TEST_CASE("a model that only llama.cpp computes can be exported too") {
  const auto why_not = [](const std::string& yaml) {
    return why_not_exportable(config_from(yaml), 50, RunLength{100, 1000, 10});
  };
  CHECK(why_not("").empty());
  CHECK(why_not("model: {arrangement: dense, bias: {attention: qkv}}").empty());
  CHECK_FALSE(why_not("moe: {router: sigmoid_bias}").empty());
  CHECK(why_not("moe: {router: cosine}").find("moe.router") != std::string::npos);
}
