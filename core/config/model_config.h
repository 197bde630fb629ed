// model: the shape of the transformer.
#pragma once
#include "core/base/words.h"
#include "core/config/choice.h"
#include "core/config/schedule_field.h"

namespace moe {

enum class Activation;
enum class Pooling;
template <>
std::vector<std::string> words_of<Activation>();
template <>
std::vector<std::string> words_of<Pooling>();
class RopeScaling;
template <>
const Table<Member>& family<RopeScaling>();

struct AttentionConfig : Fields<AttentionConfig> {
  int64_t heads = 4;
  int64_t kv_heads = 0;
  int64_t d_head = 0;
  std::string position = "rope";
  double rope_theta = 10000;
  Choice<RopeScaling> rope_scaling{"none"};
  std::string qk_norm = "none";
  bool causal = true;
  int64_t memory = 0;
  ScheduleField dropout{0, {0, 0.99}};

  void fields(FieldVisitor& v) override;
};

// Where the model has biases.
struct BiasConfig : Fields<BiasConfig> {
  std::string attention = "none";
  bool feed_forward = false, head = false, router = false;

  void fields(FieldVisitor& v) override;
  bool set_switch(bool on) override;
};

// The contrastive loss of task: pairs.
struct ContrastConfig : Fields<ContrastConfig> {
  int64_t width = 0;
  double temperature = 0.07;
  bool learn_temperature = true;

  void fields(FieldVisitor& v) override;
};

struct ModelConfig : Fields<ModelConfig> {
  ModelConfig();  // these are defined in the .cpp, like TrainConfig's
  ModelConfig(const ModelConfig&);
  ModelConfig& operator=(const ModelConfig&);
  ~ModelConfig() override;

  int64_t layers = 4;
  int64_t d_model = 128;
  std::vector<std::string> arrangement = {"switch"};
  int64_t vocab_size = 0;
  AttentionConfig attention;
  int64_t d_ff = 0;
  std::string activation = "swiglu";
  ScheduleField dropout{0, {0, 0.99}}, hidden_dropout{0, {0, 0.99}}, layer_dropout{0, {0, 0.99}};
  std::string norm = "rms";
  std::string norm_place = "pre";
  double norm_eps = 1e-5;
  BiasConfig bias;
  bool tie_embeddings = false;
  int64_t patch = 4;
  int64_t patch_frames = 10;
  int64_t patch_bands = 16;
  std::string pooling = "mean";
  std::string head = "linear";
  ContrastConfig contrast;
  double init_std = 0.02;
  std::string recompute = "none";

  void fields(FieldVisitor& v) override;

  // Which blocks are MoE, one flag per layer. Throws UsageError for an arrangement that does not fit `layers`.
  std::vector<bool> moe_layers() const;
  // Rows of the token embedding, for a tokenizer of `tokens` tokens.
  int64_t vocabulary_rows(int64_t tokens) const { return vocab_size > 0 ? vocab_size : tokens; }
  int64_t d_head() const { return attention.d_head > 0 ? attention.d_head : d_model / attention.heads; }
  int64_t kv_heads() const { return attention.kv_heads > 0 ? attention.kv_heads : attention.heads; }
  int64_t dense_d_ff() const;
};

}  // namespace moe
