// The CUDA twins of the ops in a build without CUDA. What planning asks of them (their scratch memory) is left out.
#include "core/ops/activation.h"
#include "core/ops/adamw.h"
#include "core/ops/attention.h"
#include "core/ops/bias.h"
#include "core/ops/capacity.h"
#include "core/ops/class_token.h"
#include "core/ops/competition.h"
#include "core/ops/context_memory.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/expert_choice.h"
#include "core/ops/expert_output_sums.h"
#include "core/ops/feature_noise.h"
#include "core/ops/gating.h"
#include "core/ops/group_gating.h"
#include "core/ops/grouped_gemm.h"
#include "core/ops/hash_choice.h"
#include "core/ops/hierarchy.h"
#include "core/ops/info_nce.h"
#include "core/ops/initialise.h"
#include "core/ops/layer_norm.h"
#include "core/ops/matmul.h"
#include "core/ops/merge_gate.h"
#include "core/ops/normalise_rows.h"
#include "core/ops/pooling.h"
#include "core/ops/prototypes.h"
#include "core/ops/qk_norm.h"
#include "core/ops/relu_gating.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "core/ops/router_noise.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sample_signals.h"
#include "core/ops/sequence_rows.h"
#include "core/ops/sigmoid_gating.h"
#include "core/ops/sinkhorn.h"
#include "core/ops/smooth_load.h"
#include "core/ops/temperature.h"
#include "core/ops/window_attention.h"
#include "cuda/absent/refuse.h"

namespace moe::cuda {

static void absent(const Context& ctx) {
  if (!ctx.planning) refuse();
}

// core/ops/activation.h
void activation_forward(Context& ctx, Tensor, ConstTensor, Activation) {
  absent(ctx);
}
void activation_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Activation) {
  absent(ctx);
}

// core/ops/adamw.h
void adamw(Context& ctx, Tensor, Tensor, Tensor, Tensor, const AdamWStep&, Tensor) {
  absent(ctx);
}

// core/ops/attention.h
void attention_forward(Context& ctx, Tensor, Tensor, ConstTensor, const AttentionLayout&, const AttentionDropout&) {
  absent(ctx);
}
void attention_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                        const AttentionLayout&, const AttentionDropout&) {
  absent(ctx);
}

// core/ops/bias.h
void bias_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void bias_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}

// core/ops/capacity.h
void limit_assignments(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, const TokenGroups&,
                       const GroupRoom&, DropRule) {
  absent(ctx);
}
void hand_over_weights_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void hand_over_weights_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
LossByDrops loss_by_drops(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), LossByDrops{};
}

// core/ops/class_token.h
void class_token_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t) {
  absent(ctx);
}
void class_token_backward(Context& ctx, Tensor, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}
void end_token_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t) {
  absent(ctx);
}
void end_token_backward(Context& ctx, Tensor, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}

// core/ops/competition.h
void choose_all(Context& ctx, Tensor) {
  absent(ctx);
}
void response_forward(Context& ctx, Tensor, ConstTensor, Response) {
  absent(ctx);
}
void response_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, Response) {
  absent(ctx);
}
void share_weights_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void share_weights_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void spread_chosen(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void gather_chosen(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
double imitation_sum(Context& ctx, ConstTensor, ConstTensor, ConstTensor, double, ConstTensor) {
  return absent(ctx), 0;
}
void imitation_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, double, double,
                        ConstTensor) {
  absent(ctx);
}
void softmax_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
double likeness_sum(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}
void likeness_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}
double agreement_sum(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}

// core/ops/context_memory.h
void take_recent(Context& ctx, Tensor, ConstTensor, const AttentionLayout&) {
  absent(ctx);
}
void append_recent(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void turn_memory(Context& ctx, Tensor, ConstTensor, const AttentionLayout&, int64_t, int64_t, double) {
  absent(ctx);
}

// core/ops/cross_entropy.h
void cross_entropy(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, double, const CrossEntropyExtras&) {
  absent(ctx);
}
LossSums loss_sums(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), LossSums{};
}

// core/ops/dispatch_rows.h
void sort_assignments(Context& ctx, Tensor, Tensor, Tensor, ConstTensor) {
  absent(ctx);
}
void permute_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t) {
  absent(ctx);
}
void permute_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void combine_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void combine_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void gather_rows(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/dropout.h
void dropout(Context& ctx, Tensor, double, const RandomKey&, int64_t, ConstTensor) {
  absent(ctx);
}
void drop_groups(Context& ctx, Tensor, double, const RandomKey&, int64_t, int64_t) {
  absent(ctx);
}

// core/ops/elementwise.h
void fill_zero(Context& ctx, Tensor) {
  absent(ctx);
}
void copy(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void add(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void add_scaled(Context& ctx, Tensor, ConstTensor, double) {
  absent(ctx);
}
void scale(Context& ctx, Tensor, double) {
  absent(ctx);
}
void add_scaled_rows(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void row_dots(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void convert(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void complement(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void tanh_forward(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void tanh_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
double sum_of_elements(Context& ctx, ConstTensor) {
  return absent(ctx), 0;
}
double sum_of_squares(Context& ctx, ConstTensor) {
  return absent(ctx), 0;
}

// core/ops/embedding.h
void embedding_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void position_ids(Context& ctx, Tensor, int64_t) {
  absent(ctx);
}
void embedding_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/expert_choice.h
void expert_choice(Context& ctx, Tensor, Tensor, ConstTensor, const TokenGroups&, const GroupRoom&) {
  absent(ctx);
}

// core/ops/expert_output_sums.h
void expert_output_sums(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void expert_output_sums_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/feature_noise.h
void feature_statistics(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, int64_t, NoiseStatistics) {
  absent(ctx);
}
void feature_noise_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, const RandomKey&,
                           int64_t) {
  absent(ctx);
}
void feature_noise_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void moment_sums(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void update_moments(Context& ctx, Tensor, ConstTensor, double) {
  absent(ctx);
}
void moments_to_statistics(Context& ctx, Tensor, Tensor, ConstTensor) {
  absent(ctx);
}

// core/ops/gating.h
void gating_forward(Context& ctx, Tensor, Tensor, Tensor, Tensor, ConstTensor, GatingOptions) {
  absent(ctx);
}
void gating_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, GatingOptions) {
  absent(ctx);
}
void softmax_forward(Context& ctx, Tensor, Tensor, ConstTensor) {
  absent(ctx);
}
void select_top_k(Context& ctx, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}
void chosen_weights(Context& ctx, Tensor, ConstTensor, ConstTensor, GatingOptions) {
  absent(ctx);
}
void mask_experts(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}

// core/ops/group_gating.h
void group_logits_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void group_logits_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void select_within_groups(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t, int64_t) {
  absent(ctx);
}

// core/ops/grouped_gemm.h
void grouped_gemm_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void grouped_gemm_activate_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, Activation) {
  absent(ctx);
}
void grouped_gemm_backward_input(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void grouped_gemm_backward_weight(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}

// core/ops/hash_choice.h
void hash_choice(Context& ctx, Tensor, ConstTensor, int64_t, const RandomKey&) {
  absent(ctx);
}

// core/ops/hierarchy.h
void targets_in_group(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t) {
  absent(ctx);
}
void compose_group(Context& ctx, Tensor, Tensor, Tensor, Tensor, int64_t, int64_t, const GroupChoice&,
                   const GroupChoice&) {
  absent(ctx);
}
void compose_group_backward(Context& ctx, Tensor, Tensor, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                            int64_t, int64_t, const GroupChoice&, const GroupChoice&) {
  absent(ctx);
}
void log_softmax_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/info_nce.h
void diagonal_cross_entropy(Context& ctx, Tensor, Tensor, double, double, ConstTensor) {
  absent(ctx);
}

// core/ops/initialise.h
void fill_constant(Context& ctx, Tensor, double) {
  absent(ctx);
}
void fill_normal(Context& ctx, Tensor, double, const RandomKey&, int64_t) {
  absent(ctx);
}
void fill_uniform(Context& ctx, Tensor, double, const RandomKey&, int64_t) {
  absent(ctx);
}

// core/ops/layer_norm.h
void layer_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
void layer_norm_backward(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                         bool) {
  absent(ctx);
}

// core/ops/matmul.h
void linear_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void linear_backward_input(Context& ctx, Tensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}
void linear_backward_weight(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/merge_gate.h
void merge_gate_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void merge_gate_backward(Context& ctx, Tensor, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                         ConstTensor) {
  absent(ctx);
}

// core/ops/normalise_rows.h
void normalise_rows_forward(Context& ctx, Tensor, Tensor, ConstTensor, double) {
  absent(ctx);
}
void normalise_rows_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}

// core/ops/pooling.h
void pool_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
  absent(ctx);
}
void pool_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
  absent(ctx);
}

// core/ops/prototypes.h
void expert_labels(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void update_prototypes(Context& ctx, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}

// core/ops/qk_norm.h
void qk_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, const AttentionLayout&,
                     double) {
  absent(ctx);
}
void qk_norm_backward(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                      const AttentionLayout&) {
  absent(ctx);
}

// core/ops/relu_gating.h
void relu_gating_forward(Context& ctx, Tensor, Tensor, ConstTensor) {
  absent(ctx);
}
void relu_gating_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
double scaled_weight_sum(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}
void scale_within(Context& ctx, Tensor, double, double, double) {
  absent(ctx);
}

// core/ops/rms_norm.h
void rms_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
void rms_norm_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}

// core/ops/rope.h
void rope_forward(Context& ctx, Tensor, const AttentionLayout&, int64_t, double) {
  absent(ctx);
}
void rope_backward(Context& ctx, Tensor, const AttentionLayout&, int64_t, double) {
  absent(ctx);
}

// core/ops/router_noise.h
void jitter(Context& ctx, Tensor, double, const RandomKey&, int64_t) {
  absent(ctx);
}
void drop_experts(Context& ctx, Tensor, double, int64_t, const RandomKey&, int64_t, int64_t) {
  absent(ctx);
}
void noisy_logits_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, double, const RandomKey*, int64_t) {
  absent(ctx);
}
void noisy_logits_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, double, const RandomKey*,
                           int64_t) {
  absent(ctx);
}
void drop_second(Context& ctx, Tensor, Tensor, const RandomKey&, int64_t) {
  absent(ctx);
}

// core/ops/routing_sums.h
double count_tokens(Context& ctx, ConstTensor) {
  return absent(ctx), 0;
}
void column_sums(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void assignment_sums(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
double entropy_sum(Context& ctx, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}
double squared_logsumexp_sum(Context& ctx, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}
void softmax_sum_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void squared_logsumexp_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}
void mask_padding(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void top1_counts(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
double count_assignments(Context& ctx, ConstTensor, ConstTensor) {
  return absent(ctx), 0;
}
void weight_sum_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}

// core/ops/sample_signals.h
void add_router_entropy(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void add_expert_variance(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void sample_signals(Context& ctx, Tensor, const TokenSignals&, ConstTensor, int64_t) {
  absent(ctx);
}

// core/ops/sequence_rows.h
void add_sequence_rows(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void sum_sequence_rows(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void clamp_ids(Context& ctx, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}

// core/ops/sigmoid_gating.h
void biased_sigmoid_scores(Context& ctx, Tensor, ConstTensor, ConstTensor, GroupLimit) {
  absent(ctx);
}
void sigmoid_weights_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, SigmoidWeights) {
  absent(ctx);
}
void sigmoid_weights_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, SigmoidWeights) {
  absent(ctx);
}
void step_bias(Context& ctx, Tensor, ConstTensor, double) {
  absent(ctx);
}

// core/ops/sinkhorn.h
void sinkhorn_scores(Context& ctx, Tensor, ConstTensor, const TokenGroups&, int64_t) {
  absent(ctx);
}

// core/ops/smooth_load.h
void smooth_load_sums(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void smooth_load_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                          ConstTensor) {
  absent(ctx);
}

// core/ops/temperature.h
void temperature_forward(Context& ctx, Tensor, ConstTensor, double) {
  absent(ctx);
}
void temperature_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
double temperature_value(Context& ctx, ConstTensor, double) {
  return absent(ctx), 0;
}

// core/ops/window_attention.h
void window_attention_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                              const AttentionLayout&, const AttentionWindow&, const AttentionDropout&) {
  absent(ctx);
}
void window_attention_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                               ConstTensor, ConstTensor, const AttentionLayout&, const AttentionWindow&,
                               const AttentionDropout&) {
  absent(ctx);
}

}  // namespace moe::cuda
