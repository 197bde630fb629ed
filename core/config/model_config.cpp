#include "core/config/model_config.h"

#include "core/config/recompute.h"

namespace moe {

std::vector<bool> ModelConfig::moe_layers() const {
  std::vector<bool> result;
  if (arrangement.size() == 1 && layers != 1 && (arrangement[0] == "dense" || arrangement[0] == "moe")) {
    result.assign(static_cast<size_t>(layers), arrangement[0] == "moe");
    return result;
  }
  if (arrangement.size() == 1 && arrangement[0] == "switch") {
    result.assign(static_cast<size_t>(layers), true);
    return result;
  }
  if (arrangement.size() == 1 && (arrangement[0] == "glam" || arrangement[0] == "dense_moe")) {
    for (int64_t i = 0; i < layers; ++i) result.push_back(i % 2 == (arrangement[0] == "glam" ? 0 : 1));
    return result;
  }
  for (const std::string& word : arrangement) {
    if (word != "dense" && word != "moe") {
      raise<UsageError>(
          "model.arrangement: '{}' is unknown; expected switch, glam, dense_moe, dense, or a list of "
          "dense and moe",
          word);
    }
    result.push_back(word == "moe");
  }
  if (static_cast<int64_t>(result.size()) != layers) {
    raise<UsageError>("model.arrangement: lists {} blocks, but model.layers is {}", result.size(), layers);
  }
  return result;
}

int64_t ModelConfig::dense_d_ff() const {
  if (d_ff > 0) return d_ff;
  if (activation != "swiglu") return 4 * d_model;
  // SwiGLU: three matrices with the parameters of two, rounded up to a multiple of 8.
  return (8 * d_model / 3 + 7) / 8 * 8;
}

void AttentionConfig::fields(FieldVisitor& v) {
  v.field("heads", heads, "number of query heads", {1, 1024});
  v.field("kv_heads", kv_heads,
          "number of key/value heads, each shared by a group of query heads; 0 = as many as `heads`", {0, 1024});
  v.field("d_head", d_head, "width of an attention head; 0 = d_model / heads", {0, 1024});
  v.field("position", position,
          "kind of positions: rope rotates queries and keys (with an odd d_head not the last dimension); learned "
          "adds a table to the embedding; relative adds a learned vector for each distance up to `memory` to the "
          "keys, and a token does not attend to itself; none = no positions",
          {"rope", "learned", "relative", "none"});
  v.field("rope_theta", rope_theta, "base of the rotary frequencies (position: rope)", {1, 1e9});
  v.choice("rope_scaling", rope_scaling,
           "Change of the rotary frequencies by which a model reads longer texts than it was trained on at first.");
  v.field("qk_norm", qk_norm,
          "RMS normalisation of queries and keys before positions are applied: none; head = each head separately, with "
          "one weight of width d_head for all heads (as in Qwen3); full = all heads of a token together (as in OLMoE). "
          "true is read as head, false as none",
          {"none", "head", "full"});
  v.field("causal", causal,
          "a token does not attend to later tokens; false = it attends to its whole sample, for classifiers and pairs "
          "only");
  v.field("memory", memory,
          "maximum number of earlier tokens that a token attends to, including those of previous segments, whose "
          "keys and values are kept without gradient; needs curriculum.sampler: contiguous. 0 = all tokens of its "
          "sequence and no context memory",
          {0, 1 << 20});
  v.schedule("dropout", dropout, "Dropout rate of the attention weights in training, after the softmax.");
}

void BiasConfig::fields(FieldVisitor& v) {
  v.field("attention", attention,
          "biases of the attention projections: none; qkv = of queries, keys and values (as in Qwen2); all = of the "
          "output too (as in GPT-2)",
          {"none", "qkv", "all"});
  v.field("feed_forward", feed_forward, "biases of feed-forward layers, of experts and of shared experts");
  v.field("head", head, "a bias of the output head, and of the layer before it (model.head: tanh)");
  v.field("router", router, "biases of the logits of routers with a weight matrix");
}

void ContrastConfig::fields(FieldVisitor& v) {
  v.field("width", width, "width of the vectors that the parts of a pair are compared by; 0 = d_model", {0, 1 << 16});
  v.field("temperature", temperature, "divisor of the vectors' products; its initial value if it is learned",
          {0.01, 10});
  v.field("learn_temperature", learn_temperature,
          "train the logarithm of the temperature, which is never below 0.01; otherwise it is constant");
}

// This is what the key meant when it was true or false.
bool BiasConfig::set_switch(bool on) {
  attention = "none";
  feed_forward = head = router = on;
  return true;
}

ModelConfig::ModelConfig() = default;
ModelConfig::ModelConfig(const ModelConfig&) = default;
ModelConfig& ModelConfig::operator=(const ModelConfig&) = default;
ModelConfig::~ModelConfig() = default;

void ModelConfig::fields(FieldVisitor& v) {
  v.field("layers", layers, "number of transformer blocks", {1, 10000});
  v.field("d_model", d_model, "width of the residual stream", {1, 1 << 20});
  v.field("arrangement", arrangement,
          "which blocks are MoE: switch = all; glam = MoE and dense blocks alternate, MoE first; dense_moe = they "
          "alternate, "
          "dense first; dense = none; or a list of dense and moe, one per block");
  v.field("vocab_size", vocab_size,
          "number of rows of the token embedding and of a language model's output head; rows above the tokenizer's "
          "number of tokens belong to no token: they are part of the loss's softmax, but are never generated. 0 = the "
          "tokenizer's number of tokens",
          {0, 1 << 24});
  v.group("attention", attention, "Self-attention.");
  v.field("d_ff", d_ff, "inner width of dense feed-forward layers; 0 = 4 d_model (8/3 d_model for swiglu)",
          {0, 1 << 22});
  v.field("activation", activation, "activation function of feed-forward layers, dense ones and experts",
          words_of<Activation>());
  v.schedule("dropout", dropout, "Dropout rate of the embedding and of the branches' outputs in training.");
  v.schedule("hidden_dropout", hidden_dropout,
             "Dropout rate in training inside dense feed-forward layers and shared experts, after the activation.");
  v.schedule("layer_dropout", layer_dropout,
             "Stochastic depth: probability with which the last block's branches are skipped for a sample in "
             "training; earlier blocks in proportion to their depth.");
  v.field("norm", norm,
          "kind of normalisation: rms = by the root mean square; layer = by mean and standard deviation, with a bias",
          {"rms", "layer"});
  v.field("norm_place", norm_place,
          "position of the norms: pre = before attention and feed-forward layers, and a final one before the head; "
          "post = after the sums of these layers and their inputs; post_twice = as post, and in addition the sum of "
          "a MoE layer and its input is normalised and added to that input",
          {"pre", "post", "post_twice"});
  v.field("norm_eps", norm_eps, "epsilon of the norms, added to the mean square under the root", {0, 1});
  v.group("bias", bias,
          "Biases, which start at 0 and have no weight decay. `true` in place of the group means biases everywhere but "
          "in attention, `false` means none.");
  v.field("tie_embeddings", tie_embeddings, "use the embedding table as the weight of the output head");
  v.field("patch", patch, "side length in pixels of the square patches that images are cut into; each patch is a token",
          {1, 1024});
  v.field("patch_frames", patch_frames,
          "frames of the patches that the spectrograms of sounds are cut into; each patch is a token", {1, 1 << 16});
  v.field("patch_bands", patch_bands, "mel bands of the patches of spectrograms", {1, 512});
  v.field("pooling", pooling,
          "how a classifier pools a sample's tokens, and task: pairs those of each part: mean = their mean; last = the "
          "last token; class_token = a learned token that is placed before the patches of an image or a sound, or "
          "after a text",
          words_of<Pooling>());
  v.field("head", head,
          "output head of a classifier: linear, or tanh = preceded by a layer of width d_model with a tanh (as in "
          "the papers' fine-tuning)",
          {"linear", "tanh"});
  v.group("contrast", contrast, "The contrastive loss, for `task: pairs`.");
  v.field("init_std", init_std,
          "standard deviation of initial weights; for output projections it is divided by sqrt(2 layers)", {0, 10});
  v.field("recompute", recompute,
          "activations that backward computes again, to save memory; it changes no result, and a run may go on with "
          "another value: none; experts = the inner activations of experts and of dense feed-forward layers; blocks = "
          "all but each block's input and the routers' choices, which costs about a third more time",
          recompute_values());
}

}  // namespace moe
