// model: the shape of the transformer.
#pragma once
#include "core/config/choice.h"
#include "core/config/schedule_field.h"

namespace moe {

struct AttentionConfig : Fields<AttentionConfig> {
  int64_t heads = 4;
  int64_t kv_heads = 0;
  int64_t d_head = 0;
  std::string position = "rope";
  double rope_theta = 10000;
  bool qk_norm = false;
  bool causal = true;
  int64_t memory = 0;
  ScheduleField dropout{0, {0, 0.99}};

  void fields(FieldVisitor& v) override {
    v.field("heads", heads, "query heads", {1, 1024});
    v.field("kv_heads", kv_heads, "key/value heads, shared by groups of query heads; 0 = heads", {0, 1024});
    v.field("d_head", d_head, "width of a head; 0 = d_model / heads", {0, 1024});
    v.field("position", position,
            "rope turns queries and keys (an odd d_head leaves its last dimension unturned), learned adds a table to "
            "the embedding, relative adds a learned vector for each distance up to `memory` to the keys, and a token "
            "does not see itself",
            {"rope", "learned", "relative", "none"});
    v.field("rope_theta", rope_theta, "base of the rotary frequencies", {1, 1e9});
    v.field("qk_norm", qk_norm, "RMS-normalise every query and key head");
    v.field("causal", causal, "a token sees none after it; false, all of its sample, is for classifiers");
    v.field("memory", memory,
            "tokens before it that a token sees at most, those of previous segments too, whose keys and values are "
            "kept without gradient; needs curriculum.sampler: contiguous. 0 = those of its own sequence, all of them",
            {0, 1 << 20});
    v.schedule("dropout", dropout, "Share of attention's weights that is zeroed in training, behind the softmax.");
  }
};

struct ModelConfig : Fields<ModelConfig> {
  int64_t layers = 4;
  int64_t d_model = 128;
  std::vector<std::string> arrangement = {"switch"};
  AttentionConfig attention;
  int64_t d_ff = 0;
  std::string activation = "swiglu";
  ScheduleField dropout{0, {0, 0.99}}, hidden_dropout{0, {0, 0.99}}, layer_dropout{0, {0, 0.99}};
  std::string norm = "rms";
  std::string norm_place = "pre";
  double norm_eps = 1e-5;
  bool bias = false;
  bool tie_embeddings = false;
  int64_t patch = 4;
  std::string pooling = "mean";
  std::string head = "linear";
  double init_std = 0.02;

  void fields(FieldVisitor& v) override {
    v.field("layers", layers, "transformer blocks", {1, 10000});
    v.field("d_model", d_model, "width of the residual stream", {1, 1 << 20});
    v.field("arrangement", arrangement,
            "switch: MoE in every block; glam: dense and MoE blocks alternate; dense: no MoE; or a list of dense and "
            "moe, one per block");
    v.group("attention", attention, "Self-attention.");
    v.field("d_ff", d_ff, "inner width of dense feed-forward layers; 0 = 4 d_model (8/3 d_model for swiglu)",
            {0, 1 << 22});
    v.field("activation", activation, "of feed-forward layers, dense and expert", {"relu", "gelu", "swiglu"});
    v.schedule("dropout", dropout, "Share of embedding and branch outputs that is zeroed in training.");
    v.schedule("hidden_dropout", hidden_dropout,
               "Likewise inside dense feed-forward layers and shared experts, behind the activation.");
    v.schedule("layer_dropout", layer_dropout,
               "Stochastic depth: how often the last block's branches are left out for a sample in training, earlier "
               "blocks' in proportion to their depth.");
    v.field("norm", norm, "rms: by the root mean square; layer: mean and deviation, with a bias", {"rms", "layer"});
    v.field(
        "norm_place", norm_place,
        "pre: before attention and feed-forward layers, and a last one before the head; post: behind the sums of them "
        "and their inputs; post_twice: likewise, and a MoE layer's sum with its input is normalised and added to "
        "that input once more",
        {"pre", "post", "post_twice"});
    v.field("norm_eps", norm_eps, "added to the mean square under the root", {0, 1});
    v.field("bias", bias,
            "feed-forward layers, experts, the output head and routers with a weight matrix have biases; attention has "
            "none");
    v.field("tie_embeddings", tie_embeddings, "the output head uses the embedding table");
    v.field("patch", patch, "side of the square patches, in pixels, that images are cut into: each is a token",
            {1, 1024});
    v.field("pooling", pooling,
            "what a classifier makes of a sample's tokens: their mean, the last of them, or a class token, which is "
            "learned "
            "and put before an image's patches or behind a text",
            {"mean", "class_token", "last"});
    v.field("head", head,
            "from there to the classes: linear, or by way of a layer of d_model with a tanh before it (the papers' "
            "fine-tuning)",
            {"linear", "tanh"});
    v.field("init_std", init_std,
            "standard deviation of initial weights; output projections get it divided by sqrt(2 layers)", {0, 10});
  }

  // Which blocks are MoE, one flag per layer. Throws UsageError for an arrangement that fits no `layers` blocks.
  std::vector<bool> moe_layers() const;
  int64_t d_head() const { return attention.d_head > 0 ? attention.d_head : d_model / attention.heads; }
  int64_t kv_heads() const { return attention.kv_heads > 0 ? attention.kv_heads : attention.heads; }
  int64_t dense_d_ff() const;
};

}  // namespace moe
