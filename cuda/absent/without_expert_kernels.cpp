// The CUDA twins of the ops of routers, experts and strategies in a build without CUDA. What planning asks of them
// (their scratch memory) is left out.
#include "core/ops/capacity.h"
#include "core/ops/competition.h"
#include "core/ops/dispatch_rows.h"
#include "core/ops/expert_choice.h"
#include "core/ops/expert_output_sums.h"
#include "core/ops/feature_noise.h"
#include "core/ops/gating.h"
#include "core/ops/group_gating.h"
#include "core/ops/grouped_gemm.h"
#include "core/ops/hash_choice.h"
#include "core/ops/hierarchy.h"
#include "core/ops/info_nce.h"
#include "core/ops/merge_gate.h"
#include "core/ops/normalise_rows.h"
#include "core/ops/prototypes.h"
#include "core/ops/relu_gating.h"
#include "core/ops/router_noise.h"
#include "core/ops/routing_sums.h"
#include "core/ops/sigmoid_gating.h"
#include "core/ops/sinkhorn.h"
#include "core/ops/smooth_load.h"
#include "core/ops/temperature.h"
#include "cuda/absent/refuse.h"

namespace moe::cuda {

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
void imitation_sum(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}
void imitation_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, double, double,
                        ConstTensor) {
  absent(ctx);
}
void softmax_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void likeness_sum(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void likeness_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}
void agreement_sum(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
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
void number_assignments(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t, int64_t) {
  absent(ctx);
}
void gather_rows(Context& ctx, Tensor, ConstTensor, ConstTensor) {
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

// core/ops/merge_gate.h
void merge_gate_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void merge_gate_backward(Context& ctx, Tensor, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                         ConstTensor) {
  absent(ctx);
}

// core/ops/normalise_rows.h
void normalise_rows_forward(Context& ctx, Tensor, Tensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}
void normalise_rows_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, double, ConstTensor) {
  absent(ctx);
}

// core/ops/prototypes.h
void expert_labels(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void update_prototypes(Context& ctx, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}

// core/ops/relu_gating.h
void relu_gating_forward(Context& ctx, Tensor, Tensor, ConstTensor) {
  absent(ctx);
}
void relu_gating_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
void scaled_weight_sum(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void scale_within(Context& ctx, Tensor, double, double, double) {
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
void token_sum(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void column_sums(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void assignment_sums(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void entropy_sum(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void squared_logsumexp_sum(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
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
void count_assignments(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void weight_sum_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
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

}  // namespace moe::cuda
