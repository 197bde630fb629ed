#include "core/model/model_summary.h"

#include "core/ops/activation.h"

namespace moe {

ModelSummary summarise(const ModelConfig& model, const MoEConfig& moe, int64_t vocab, int64_t context, int64_t k) {
  const int64_t d = model.d_model, d_head = model.d_head(), kv = model.kv_heads(), heads = model.attention.heads;
  const int64_t matrices = width_factor(activation_from_name(model.activation)) + 1;  // of a feed-forward layer
  const int64_t attention = d * (heads + 2 * kv) * d_head + heads * d_head * d;
  const int64_t expert = matrices * d * (moe.d_ff > 0 ? moe.d_ff : model.dense_d_ff());
  const int64_t dense = matrices * d * model.dense_d_ff();

  ModelSummary s;
  int64_t active_matrices = vocab * d;  // the head
  int64_t vectors = d;                  // norms and embeddings: parameters, but no products
  if (model.attention.position == "learned") vectors += context * d;
  for (const bool is_moe : model.moe_layers()) {
    vectors += 2 * d + (model.attention.qk_norm ? 2 * d_head : 0);
    active_matrices += attention;
    if (!is_moe) {
      active_matrices += dense;
      continue;
    }
    active_matrices += d * moe.experts + (k + moe.shared_experts) * expert;
    s.expert_parameters += moe.experts * expert;
    s.parameters += (moe.experts - k) * expert;
  }
  if (!model.tie_embeddings) vectors += vocab * d;
  s.active_parameters = active_matrices + vectors;
  s.parameters += s.active_parameters;
  s.flops_per_token =
      6.0 * static_cast<double>(active_matrices) + 6.0 * static_cast<double>(model.layers * heads * d_head * context);
  return s;
}

}  // namespace moe
