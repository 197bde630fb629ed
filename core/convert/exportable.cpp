#include "core/convert/exportable.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/convert/option_values.h"

namespace moe {

namespace {

// For a key that must have one value.
template <class T>
std::string require_value(const T& value, const T& wanted, const char* why) {
  return value == wanted ? std::string() : why;
}

constexpr const char* kTraining = "training only";
constexpr const char* kInitial = "initial values only";
constexpr const char* kShape = "the shape of the model";

constexpr KeyLine kKeys[] = {
    {"model.layers", Fate::exact, kShape, nullptr},
    {"model.d_model", Fate::exact, kShape, nullptr},
    {"model.arrangement", Fate::depends, "which blocks are MoE; the layout must have such a pattern", nullptr},
    {"model.attention.heads", Fate::exact, kShape, nullptr},
    {"model.attention.kv_heads", Fate::exact, kShape, nullptr},
    {"model.attention.d_head", Fate::depends, "must be even; some layouts need d_model / heads",
     [](const TrainConfig& c) {
       return require_value<int64_t>(c.model.d_head() % 2, 0, "an odd width leaves a dimension without rotation");
     }},
    {"model.attention.position", Fate::depends, "rope only",
     [](const TrainConfig& c) {
       return require_value<std::string>(c.model.attention.position, "rope", "the layouts have rotary positions");
     }},
    {"model.attention.rope_theta", Fate::exact, "rope_theta", nullptr},
    {"model.attention.rope_scaling", Fate::exact, "rope_parameters", nullptr},
    {"model.attention.qk_norm", Fate::exact, "chooses the layout", nullptr},
    {"model.attention.causal", Fate::depends, "true only",
     [](const TrainConfig& c) {
       return require_value(c.model.attention.causal, true, "the layouts are of causal language models");
     }},
    {"model.attention.memory", Fate::depends, "0 only",
     [](const TrainConfig& c) {
       return require_value<int64_t>(c.model.attention.memory, 0, "a context memory reaches into earlier segments");
     }},
    {"model.attention.dropout", Fate::exact, kTraining, nullptr},
    {"model.d_ff", Fate::exact, kShape, nullptr},
    {"model.activation", Fate::depends, "swiglu only",
     [](const TrainConfig& c) {
       return require_value<std::string>(c.model.activation, "swiglu", "the layouts have SwiGLU experts");
     }},
    {"model.dropout", Fate::exact, kTraining, nullptr},
    {"model.hidden_dropout", Fate::exact, kTraining, nullptr},
    {"model.layer_dropout", Fate::exact, kTraining, nullptr},
    {"model.norm", Fate::depends, "rms only",
     [](const TrainConfig& c) {
       return require_value<std::string>(c.model.norm, "rms", "the layouts normalise by the root mean square");
     }},
    {"model.norm_place", Fate::depends, "pre only",
     [](const TrainConfig& c) {
       return require_value<std::string>(c.model.norm_place, "pre", "the layouts normalise before each branch");
     }},
    {"model.norm_eps", Fate::exact, "rms_norm_eps", nullptr},
    {"model.bias.attention", Fate::depends, "chooses the layout", nullptr},
    {"model.bias.feed_forward", Fate::depends, "dense models only (llama)", nullptr},
    {"model.bias.head", Fate::depends, "false only",
     [](const TrainConfig& c) {
       return require_value(c.model.bias.head, false, "no layout has a bias of the output head");
     }},
    {"model.bias.router", Fate::depends, "false only",
     [](const TrainConfig& c) {
       return require_value(c.model.bias.router, false, "no layout has a bias of the router's logits");
     }},
    {"model.tie_embeddings", Fate::exact, "tie_word_embeddings", nullptr},
    {"model.patch", Fate::exact, "images only", nullptr},
    {"model.patch_frames", Fate::exact, "sounds only", nullptr},
    {"model.patch_bands", Fate::exact, "sounds only", nullptr},
    {"model.contrast.width", Fate::exact, "pairs only", nullptr},
    {"model.contrast.temperature", Fate::exact, "pairs only", nullptr},
    {"model.contrast.learn_temperature", Fate::exact, "pairs only", nullptr},
    {"model.pooling", Fate::exact, "classifiers only", nullptr},
    {"model.head", Fate::exact, "classifiers only", nullptr},
    {"model.vocab_size", Fate::exact, "vocab_size", nullptr},
    {"model.init_std", Fate::exact, kInitial, nullptr},
    {"model.recompute", Fate::exact, kTraining, nullptr},
    {"moe.experts", Fate::depends, "the same number in all layers", nullptr},
    {"moe.d_ff", Fate::depends, "the same width in all layers", nullptr},
    {"moe.shared_experts", Fate::depends, "chooses the layout", nullptr},
    {"moe.shared_gate", Fate::depends, "chooses the layout", nullptr},
    {"moe.expert_init", Fate::exact, kInitial, nullptr},
    {"moe.dropout", Fate::exact, kTraining, nullptr},
    {"moe.hidden_dropout", Fate::exact, kTraining, nullptr},
    {"moe.router", Fate::depends, "see the table of routers", nullptr},
    {"moe.modality_bias", Fate::exact, "pairs only", nullptr},
    {"moe.strategy", Fate::depends, "see the table of strategies", nullptr},
    {"moe.balance", Fate::exact, kTraining, nullptr},
    {"moe.capacity", Fate::depends, "exact unless it drops assignments at evaluation", nullptr},
    {"moe.alarm", Fate::exact, kTraining, nullptr},
    {"moe.lifecycle", Fate::depends, "exact if all layers have the same numbers in the end", nullptr},
    {"moe.layers", Fate::depends, "exact if all MoE layers compute alike at evaluation", nullptr},
};

PlainRopeScaling rope_scaling_of(const Choice<RopeScaling>& choice) {
  PlainRopeScaling plain{.kind = choice.kind()};
  const OptionValues options(choice, {}, 0);
  if (plain.kind != "none") plain.factor = options.number("factor");
  if (plain.kind == "llama3") {
    plain.low_freq_factor = options.number("low_freq_factor");
    plain.high_freq_factor = options.number("high_freq_factor");
    plain.original_positions = options.integer("original_max_position");
  }
  return plain;
}

void take_shape(PlainModel& plain, const TrainConfig& config, int64_t vocab) {
  const ModelConfig& model = config.model;
  plain.vocab = model.vocabulary_rows(vocab);
  plain.layers = model.layers;
  plain.d_model = model.d_model;
  plain.heads = model.attention.heads;
  plain.kv_heads = model.kv_heads();
  plain.d_head = model.d_head();
  plain.d_ff = model.dense_d_ff();
  plain.positions = config.data.places();
  plain.rope_theta = model.attention.rope_theta;
  plain.rope_scaling = rope_scaling_of(model.attention.rope_scaling);
  plain.norm_eps = model.norm_eps;
  plain.activation = model.activation;
  plain.qk_norm = qk_norm_from_name(model.attention.qk_norm);
  plain.qkv_bias = model.bias.attention != "none";
  plain.attention_output_bias = model.bias.attention == "all";
  plain.feed_forward_bias = model.bias.feed_forward;
  plain.tied = model.tie_embeddings;
  plain.is_moe = model.moe_layers();
}

PlainExperts experts_of(const TrainConfig& config, const MoEConfig& moe, const RouterPlan& router) {
  const int64_t d_ff = moe.d_ff > 0 ? moe.d_ff : config.model.dense_d_ff();
  return {.count = moe.experts,
          .d_ff = d_ff,
          .shared_d_ff = d_ff * moe.shared_experts,
          .shared_gate = moe.shared_gate,
          .routing = router.routing};
}

}  // namespace

std::span<const KeyLine> key_lines() {
  return kKeys;
}

PlainForm plain_form(const TrainConfig& config, int64_t vocab, const RunLength& run, uint64_t update) {
  PlainForm form;
  take_shape(form.model, config, vocab);
  const auto refuse = [&](const std::string& key, const std::string& reason, bool has_nearest = false) {
    if (reason.empty()) return;
    const auto same = [&](const Refusal& r) { return r.key == key && r.reason == reason; };
    if (std::none_of(form.refusals.begin(), form.refusals.end(), same))
      form.refusals.push_back({key, reason, has_nearest});
  };
  if (config.task != "language_model") refuse("task", "a classifier has no layout; language models have");
  for (const KeyLine& line : key_lines()) {
    if (line.refusal) refuse(line.key, line.refusal(config));
  }
  for (const auto& [block, moe] : moe_blocks(config.model, config.moe)) {
    const RouterCase c{moe, run, update};
    const RouterPlan plan = plan_router(c);
    refuse("moe.router", plan.refusal.empty() ? "" : moe.router.kind() + ": " + plan.refusal, plan.has_nearest);
    const std::string strategy = strategy_refusal(c);
    refuse("moe.strategy", strategy.empty() ? "" : moe.strategy.kind() + ": " + strategy);
    refuse("moe.capacity", capacity_refusal(c), true);
    const PlainExperts experts = experts_of(config, moe, plan);
    if (form.routers.empty()) form.model.experts = experts;
    if (!(experts == form.model.experts))
      refuse("moe.layers", "the layouts have one number, width and choice of experts for all MoE layers");
    form.routers.emplace(block, plan);
  }
  return form;
}

std::string to_words(const std::vector<Refusal>& refusals) {
  std::vector<std::string> parts;
  for (const Refusal& r : refusals) parts.push_back(r.key + ": " + r.reason);
  return join(parts, "; ");
}

}  // namespace moe
