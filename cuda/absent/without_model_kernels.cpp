// The CUDA twins of the ops of the model, its loss and its optimizer in a build without CUDA. What planning asks of
// them (their scratch memory) is left out.
#include "core/ops/activation.h"
#include "core/ops/adamw.h"
#include "core/ops/attention.h"
#include "core/ops/bias.h"
#include "core/ops/class_token.h"
#include "core/ops/context_memory.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/dropout.h"
#include "core/ops/elementwise.h"
#include "core/ops/embedding.h"
#include "core/ops/initialise.h"
#include "core/ops/layer_norm.h"
#include "core/ops/matmul.h"
#include "core/ops/pooling.h"
#include "core/ops/qk_norm.h"
#include "core/ops/rms_norm.h"
#include "core/ops/rope.h"
#include "core/ops/sample_signals.h"
#include "core/ops/sequence_rows.h"
#include "core/ops/window_attention.h"
#include "cuda/absent/refuse.h"

namespace moe::cuda {

// core/ops/activation.h
void activation_forward(Context& ctx, Tensor, ConstTensor, Activation, ConstTensor) {
  absent(ctx);
}
void activation_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Activation, ConstTensor) {
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

// core/ops/pooling.h
void pool_forward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
  absent(ctx);
}
void pool_backward(Context& ctx, Tensor, ConstTensor, ConstTensor, Pooling) {
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
