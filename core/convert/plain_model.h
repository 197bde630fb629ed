// A language model in the terms that other programs share: what it computes at evaluation, without our names for how it
// was trained. Layouts of files are chosen by it, and describe themselves with it in both directions.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace moe {

// How the experts of a token are chosen and weighted.
struct PlainRouting {
  int64_t k = 1;
  bool sigmoid = false;  // scores are sigmoids of the logits; otherwise a softmax over all experts
  // A bias per expert is added to the scores by which experts are chosen, but not to their weights.
  bool selection_bias = false;
  int64_t groups = 1, group_limit = 1;  // a token chooses among the best `group_limit` of `groups` groups
  bool renormalise = true;              // the weights of the chosen experts are divided by their sum,
  double scale = 1;                     // and multiplied by this

  bool operator==(const PlainRouting&) const = default;
};

struct PlainExperts {
  int64_t count = 0, d_ff = 0;
  int64_t shared_d_ff = 0;   // width of the shared expert; 0: there is none
  bool shared_gate = false;  // its output is multiplied by a sigmoid of a product with the token
  PlainRouting routing;

  bool operator==(const PlainExperts&) const = default;
};

enum class QkNorm { none, head, full };  // of queries and keys: none, per head, over the whole projection
// The words of model.attention.qk_norm.
QkNorm qk_norm_from_name(const std::string& name);
const char* name_of(QkNorm norm);

// The scaling of rotary frequencies for longer texts.
struct PlainRopeScaling {
  std::string kind = "none";  // none, linear or llama3
  double factor = 1, low_freq_factor = 1, high_freq_factor = 4;
  int64_t original_positions = 8192;

  bool operator==(const PlainRopeScaling&) const = default;
};

struct PlainModel {
  int64_t vocab = 0, layers = 0, d_model = 0, heads = 0, kv_heads = 0, d_head = 0;
  int64_t d_ff = 0;       // of dense layers
  int64_t positions = 0;  // the length of training; with a learned table its length
  bool learned_positions = false;
  double rope_theta = 10000;
  PlainRopeScaling rope_scaling;
  bool layer_norm = false;  // by mean and standard deviation, with a bias; otherwise by the root mean square
  double norm_eps = 1e-5;
  std::string activation = "swiglu";
  QkNorm qk_norm = QkNorm::none;
  bool qkv_bias = false, attention_output_bias = false, feed_forward_bias = false;
  bool tied = false;  // the embedding is also the head
  std::vector<bool> is_moe;
  PlainExperts experts;  // of every MoE layer

  bool has_experts() const;
  bool all_moe() const;
  // The number of dense layers before the first MoE layer.
  int64_t leading_dense() const;
};

// The product of two sizes out of a file; the largest number where that does not hold it.
int64_t size_product(int64_t a, int64_t b);
// Throws CheckpointError, which names the file, for sizes that no model has, so that products of them do not overflow.
// A size that was not read yet is zero.
void require_sizes(const PlainModel& model, const std::string& file);

}  // namespace moe
