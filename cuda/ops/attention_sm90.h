// Attention by Hopper's own instructions. The results equal those of the portable kernels (attention.cuh) except for
// the order of sums.
#pragma once
#include <initializer_list>

#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe::cuda::sm90 {

// Rows of queries of a block.
inline constexpr int kAttentionRows = 128;

// The padded length of sequences in these kernels: buffers per query have this length.
inline int64_t padded_time(int64_t time) {
  return (time + kAttentionRows - 1) / kAttentionRows * kAttentionRows;
}
// Shorter sequences would fill less than half of a tile.
inline constexpr int64_t kShortest = 64;

// Whether these kernels support the arguments: bf16 on a device of capability 9.0 (Queue::hopper), sequences of at
// least kShortest tokens without padding, heads of 8, 16, .. 128 dimensions (the copy engine requires 16-byte steps),
// tensors at 16-byte boundaries.
bool takes_attention(const Context& ctx, DType dtype, const AttentionLayout& layout,
                     std::initializer_list<const void*> pointers);

// The same function as in core/ops/attention.h.
void attention_forward(Context& ctx, Tensor out, Tensor logsumexp, ConstTensor qkv, const AttentionLayout& layout);
// rows: memory for 2 f32 for every query of every head of every padded sequence
void attention_backward(Context& ctx, Tensor d_qkv, ConstTensor d_out, ConstTensor qkv, ConstTensor out,
                        ConstTensor logsumexp, float* rows, const AttentionLayout& layout);

}  // namespace moe::cuda::sm90
