// The CUDA half of the program in a build without CUDA: there is no device, and nobody gets one. What planning asks of
// the twins (their scratch memory) is left out.
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
#include "core/tensor/device.h"

namespace moe::cuda {

static const char* const kWhy = "this program was built without CUDA";

[[noreturn]] static void refuse() {
  throw DeviceError(kWhy);
}
static void absent(const Context& ctx) {
  if (!ctx.planning) refuse();
}

// ---- core/tensor/device.h ------------------------------------------------------------------------------------------
bool built() {
  return false;
}
int device_count() {
  return 0;
}
std::string why_no_device() {
  return kWhy;
}
std::string describe_device(int) {
  refuse();
}
std::shared_ptr<Queue> make_queue(int) {
  refuse();
}
void synchronise(Queue&) {
  refuse();
}
MemoryInfo memory_info() {
  refuse();
}
void* allocate(size_t) {
  refuse();
}
void* allocate_managed(size_t) {
  refuse();
}
void release(void*) noexcept {}
void copy_now(void*, const void*, size_t, Direction) {
  refuse();
}
void copy_bytes(Queue&, void*, const void*, size_t, Direction) {
  refuse();
}

// ---- core/ops ------------------------------------------------------------------------------------------------------
void activation_forward(Context& ctx, Tensor, ConstTensor, Activation) {
  absent(ctx);
}
void activation_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Activation) {
  absent(ctx);
}
void adamw(Context& ctx, Tensor, Tensor, Tensor, Tensor, const AdamWStep&, Tensor) {
  absent(ctx);
}
void attention_forward(Context& ctx, Tensor, Tensor, ConstTensor, const AttentionLayout&) {
  absent(ctx);
}
void attention_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                        const AttentionLayout&) {
  absent(ctx);
}
void bias_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void bias_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}
void layer_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
void layer_norm_backward(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                         bool) {
  absent(ctx);
}
void take_recent(Context& ctx, Tensor, ConstTensor, const AttentionLayout&) {
  absent(ctx);
}
void append_recent(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void turn_memory(Context& ctx, Tensor, ConstTensor, const AttentionLayout&, int64_t, int64_t, double) {
  absent(ctx);
}
void window_attention_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                              const AttentionLayout&, const AttentionWindow&) {
  absent(ctx);
}
void window_attention_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                               ConstTensor, ConstTensor, const AttentionLayout&, const AttentionWindow&) {
  absent(ctx);
}
void cross_entropy(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, double, const CrossEntropyExtras&) {
  absent(ctx);
}
LossSums loss_sums(Context& ctx, ConstTensor, ConstTensor, ConstTensor) {
  return absent(ctx), LossSums{};
}
void add_router_entropy(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void add_expert_variance(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void sample_signals(Context& ctx, Tensor, const TokenSignals&, ConstTensor, int64_t) {
  absent(ctx);
}
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
void complement(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
double sum_of_elements(Context& ctx, ConstTensor) {
  return absent(ctx), 0;
}
void convert(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void add_scaled_rows(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void row_dots(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void scale(Context& ctx, Tensor, double) {
  absent(ctx);
}
void dropout(Context& ctx, Tensor, double, const RandomKey&, int64_t, ConstTensor) {
  absent(ctx);
}
void drop_groups(Context& ctx, Tensor, double, const RandomKey&, int64_t, int64_t) {
  absent(ctx);
}
double sum_of_squares(Context& ctx, ConstTensor) {
  return absent(ctx), 0;
}
void embedding_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void position_ids(Context& ctx, Tensor, int64_t) {
  absent(ctx);
}
void embedding_backward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void gating_forward(Context& ctx, Tensor, Tensor, Tensor, Tensor, ConstTensor, GatingOptions) {
  absent(ctx);
}
void gating_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, GatingOptions) {
  absent(ctx);
}
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
void fill_constant(Context& ctx, Tensor, double) {
  absent(ctx);
}
void fill_normal(Context& ctx, Tensor, double, const RandomKey&, int64_t) {
  absent(ctx);
}
void fill_uniform(Context& ctx, Tensor, double, const RandomKey&, int64_t) {
  absent(ctx);
}
void linear_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void linear_backward_input(Context& ctx, Tensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}
void linear_backward_weight(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void qk_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, const AttentionLayout&,
                     double) {
  absent(ctx);
}
void qk_norm_backward(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                      const AttentionLayout&) {
  absent(ctx);
}
void rms_norm_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
void rms_norm_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, bool) {
  absent(ctx);
}
void rope_forward(Context& ctx, Tensor, const AttentionLayout&, int64_t, double) {
  absent(ctx);
}
void rope_backward(Context& ctx, Tensor, const AttentionLayout&, int64_t, double) {
  absent(ctx);
}
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
void feature_statistics(Context& ctx, Tensor, Tensor, ConstTensor, int64_t, NoiseStatistics) {
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
void diagonal_cross_entropy(Context& ctx, Tensor, Tensor, double, double, ConstTensor) {
  absent(ctx);
}
void merge_gate_forward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void merge_gate_backward(Context& ctx, Tensor, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor,
                         ConstTensor) {
  absent(ctx);
}
void expert_labels(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void update_prototypes(Context& ctx, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
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
void temperature_forward(Context& ctx, Tensor, ConstTensor, double) {
  absent(ctx);
}
void temperature_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
double temperature_value(Context& ctx, ConstTensor, double) {
  return absent(ctx), 0;
}
void normalise_rows_forward(Context& ctx, Tensor, Tensor, ConstTensor, double) {
  absent(ctx);
}
void normalise_rows_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, double) {
  absent(ctx);
}
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
void expert_choice(Context& ctx, Tensor, Tensor, ConstTensor, const TokenGroups&, int64_t) {
  absent(ctx);
}
void limit_assignments(Context& ctx, Tensor, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, const TokenGroups&,
                       int64_t, DropRule) {
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
void sinkhorn_scores(Context& ctx, Tensor, ConstTensor, const TokenGroups&, int64_t) {
  absent(ctx);
}
void hash_choice(Context& ctx, Tensor, ConstTensor, int64_t, const RandomKey&) {
  absent(ctx);
}
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
void group_logits_forward(Context& ctx, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void group_logits_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void select_within_groups(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t, int64_t) {
  absent(ctx);
}
void class_token_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, int64_t) {
  absent(ctx);
}
void class_token_backward(Context& ctx, Tensor, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}
void pool_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
  absent(ctx);
}
void pool_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
  absent(ctx);
}
void add_sequence_rows(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void sum_sequence_rows(Context& ctx, Tensor, ConstTensor) {
  absent(ctx);
}
void clamp_ids(Context& ctx, Tensor, ConstTensor, int64_t) {
  absent(ctx);
}
void smooth_load_sums(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void smooth_load_backward(Context& ctx, Tensor, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor,
                          ConstTensor) {
  absent(ctx);
}
void expert_output_sums(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
  absent(ctx);
}
void expert_output_sums_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, ConstTensor, ConstTensor) {
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

}  // namespace moe::cuda
