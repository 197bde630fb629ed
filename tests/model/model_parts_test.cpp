// Parts of published models: which parameters they add.
#include <initializer_list>
#include <set>

#include "core/base/text.h"
#include "core/config/config_reader.h"
#include "core/generate/generate.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 11;

static TrainConfig config_with(const std::string& model, const std::string& moe = "{}",
                               const std::string& more = "{}") {
  ConfigNode root = parse_config(
      "{model: {layers: 2, arrangement: dense_moe, d_model: 8, attention: {heads: 2}}, moe: {experts: 2, d_ff: 6, "
      "shared_experts: 1}, data: {sequence: 5}, train: {batch: 2}}",
      "base");
  merge_config(root, parse_config("{model: " + model + ", moe: " + moe + "}", "case"));
  merge_config(root, parse_config(more, "more"));
  TrainConfig config;
  read_config(root, config);
  return config;
}

// The names of all tensors that end in `ending`.
static std::set<std::string> names_with(const TrainConfig& config, const std::string& ending) {
  TinyRun run(config, kVocab, ProcessGroups::single());
  std::set<std::string> names;
  for (const auto& [name, values] : named_values(run)) {
    if (name.ends_with(ending)) names.insert(name);
  }
  return names;
}

TEST_CASE("biases are in the places that model.bias names") {
  using Names = std::set<std::string>;
  const Names qkv = {"blocks.0.attention.qkv.bias", "blocks.1.attention.qkv.bias"},
              output = {"blocks.0.attention.output.bias", "blocks.1.attention.output.bias"},
              feed_forward = {"blocks.0.feed_forward.input.bias",  "blocks.0.feed_forward.output.bias",
                              "blocks.1.moe.experts.0.input.bias", "blocks.1.moe.experts.0.output.bias",
                              "blocks.1.moe.experts.1.input.bias", "blocks.1.moe.experts.1.output.bias",
                              "blocks.1.moe.shared.input.bias",    "blocks.1.moe.shared.output.bias"},
              head = {"head.bias"}, router = {"blocks.1.moe.router.logit_bias"};
  const auto together = [](std::initializer_list<Names> parts) {
    Names all;
    for (const Names& part : parts) all.insert(part.begin(), part.end());
    return all;
  };
  for (const auto& [bias, expected] : {std::pair<const char*, Names>{"false", {}},
                                       {"true", together({feed_forward, head, router})},
                                       {"{attention: qkv}", qkv},
                                       {"{attention: all}", together({qkv, output})},
                                       {"{feed_forward: true}", feed_forward},
                                       {"{head: true}", head},
                                       {"{router: true}", router}}) {
    INFO(bias);
    CHECK(names_with(config_with(fmt::format("{{bias: {}}}", bias)), "bias") == expected);
  }
  CHECK(names_with(config_with("{bias: {head: true}, head: tanh, pooling: last}", "{}",
                               "{task: classify, data: {labelled: {format: tsv}}}"),
                   "bias") == Names{"head.bias", "head.hidden.bias"});
}

TEST_CASE("a part that is added leaves the first values of all other tensors as they are") {
  TinyRun plain(config_with("{}"), kVocab, ProcessGroups::single());
  for (const auto& [model, moe] :
       {std::pair{"{bias: {attention: all, feed_forward: true, head: true, router: true}}", "{}"},
        {"{attention: {qk_norm: full}}", "{}"},
        {"{}", "{shared_gate: true}"}}) {
    INFO(model << moe);
    TinyRun run(config_with(model, moe), kVocab, ProcessGroups::single());
    const auto values = named_values(run);
    CHECK(values.size() > named_values(plain).size());
    for (const auto& [name, before] : named_values(plain)) {
      INFO(name);
      CHECK(values.at(name) == before);
    }
  }
}

// More rows than there are tokens.
static constexpr int64_t kRows = 19;

TEST_CASE("a larger vocabulary adds rows to the embedding and the head, and changes no other first value") {
  TinyRun plain(config_with("{}"), kVocab, ProcessGroups::single()),
      padded(config_with("{vocab_size: 19}"), kVocab, ProcessGroups::single());
  const auto values = named_values(padded);
  for (const auto& [name, before] : named_values(plain)) {
    INFO(name);
    std::vector<double> found = values.at(name);
    if (name == "embedding.weight" || name == "head.weight") {
      REQUIRE(std::ssize(found) == kRows * 8);
      found.resize(kVocab * 8);  // a value depends on its place in the tensor
    }
    CHECK(found == before);
  }
  CHECK(padded.state.model->vocab() == kVocab);
  CHECK(padded.state.model->head().classes() == kRows);
  // Two tensors of eight columns.
  CHECK(summarise(padded.config, kVocab).parameters ==
        summarise(plain.config, kVocab).parameters + 2 * 8 * (kRows - kVocab));
}

TEST_CASE("rows that belong to no token are never generated") {
  TinyRun run(config_with("{vocab_size: 19, bias: {head: true}}"), kVocab, ProcessGroups::single());
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name != "head.bias") continue;
    for (int64_t i = kVocab; i < kRows; ++i) p.value.as<float>()[i] = 100;  // by far the most likely
  }
  for (const double temperature : {0.0, 0.8, 100.0}) {
    const std::vector<int32_t> text =
        generate(run.state, {1, 2},
                 {.tokens = 40, .sampling = {.temperature = temperature}, .reader = {.context = 5, .chunk = 5}});
    CHECK(text.size() == 40);
    for (const int32_t id : text) CHECK((id >= 0 && id < kVocab));
  }
}

TEST_CASE("a vocabulary that is too small, or that no sample uses, is refused") {
  CHECK_THROWS_WITH(summarise(config_with("{vocab_size: 10}"), kVocab),
                    Catch::Contains("model.vocab_size: 10 rows are too few for the 11 tokens of the tokenizer"));
  CHECK_NOTHROW(summarise(config_with("{vocab_size: 11}"), kVocab));
  const TrainConfig images = config_with("{vocab_size: 19}", "{}", "{task: classify}");
  CHECK_THROWS_WITH(summarise(images, tiny_shape(images, kVocab)), Catch::Contains("have no token ids"));
}

TEST_CASE("the memory plan equals what a step with these parts uses") {
  const TrainConfig config = config_with(
      "{vocab_size: 19, bias: {attention: all, feed_forward: true, head: true, router: true}, attention: {qk_norm: "
      "full}}",
      "{shared_gate: true}");
  TinyRun run(config, kVocab, ProcessGroups::single());
  const MemoryPlan plan = plan_memory({run.config, kVocab, run.groups});
  for (int64_t i = 0; i < 3; ++i) run.run(RandomBatch(config, kVocab, 11), i, 1e-3);
  CHECK(run.state.activations().peak() == plan.activations);
  CHECK(run.state.scratch().peak() == plan.scratch);
  CHECK(run.state.used_bytes() == plan.total());
}

TEST_CASE("a scaling of frequencies that the positions do not have is refused") {
  CHECK_THROWS_WITH(summarise(config_with("{attention: {position: learned, rope_scaling: linear}}"), kVocab),
                    Catch::Contains("model.attention.rope_scaling: linear") && Catch::Contains("position is learned"));
}

TEST_CASE("models of published shapes have the published numbers of parameters") {
  struct Published {
    const char* name;
    int64_t tokens, parameters;
    const char* yaml;
  };
  const Published models[] = {
      {"OLMoE-1B-7B", 50280, 6'919'161'856,
       "{model: {layers: 16, d_model: 2048, vocab_size: 50304, attention: {heads: 16, qk_norm: full}}, "
       "moe: {experts: 64, d_ff: 1024, router: {k: 8, softmax: all, renormalise: false}}}"},
      {"Qwen1.5-MoE-A2.7B", 151646, 14'315'784'192,
       "{model: {layers: 24, d_model: 2048, vocab_size: 151936, attention: {heads: 16}, bias: {attention: qkv}}, moe: "
       "{experts: 60, d_ff: 1408, shared_experts: 4, shared_gate: true, router: {k: 4, softmax: all, renormalise: "
       "false}}}"},
      {"Qwen3-30B-A3B", 151669, 30'532'122'624,
       "{model: {layers: 48, d_model: 2048, vocab_size: 151936, attention: {heads: 32, kv_heads: 4, d_head: 128, "
       "qk_norm: head}}, moe: {experts: 128, d_ff: 768, router: {k: 8, softmax: all, renormalise: true}}}"},
      {"Llama 3.1 8B", 128256, 8'030'261'248,
       "{model: {layers: 32, d_model: 4096, d_ff: 14336, arrangement: dense, attention: {heads: 32, kv_heads: 8, "
       "rope_theta: 500000, rope_scaling: llama3}}}"},
      {"GPT-2", 50257, 124'439'808,
       "{model: {layers: 12, d_model: 768, arrangement: dense, activation: gelu_tanh, norm: layer, tie_embeddings: "
       "true, attention: {heads: 12, position: learned}, bias: {attention: all, feed_forward: true}}, data: {sequence: "
       "1024}}"},
  };
  for (const Published& model : models) {
    INFO(model.name);
    CHECK(summarise(config_from(model.yaml), model.tokens).parameters == model.parameters);
  }
}
