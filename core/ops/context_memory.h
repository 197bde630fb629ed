// A context memory of keys and values that later segments of the same rows attend to: how it is filled, and how its
// keys are rotated.
#pragma once
#include "core/ops/attention_layout.h"
#include "core/ops/rope_frequencies.h"
#include "core/tensor/context.h"

namespace moe {

// Copies the keys and values of the last n positions of each sequence: qkv (sequences * layout.time, layout.width()) ->
// recent (sequences, n, layout.memory_width()), n <= layout.time.
void take_recent(Context& ctx, Tensor recent, ConstTensor qkv, const AttentionLayout& layout);
// Shifts each sequence of memory (sequences, size, width) by n positions: the first n are dropped, and recent
// (sequences, n, width) is appended. n <= size.
void append_recent(Context& ctx, Tensor memory, ConstTensor recent);
// Copies the last `filled` positions of memory (sequences, size, width) to turned, with keys rotated as in rope.h at
// the positions -filled .. -1, which precede a sequence. The rest of turned stays unchanged.
void turn_memory(Context& ctx, Tensor turned, ConstTensor memory, const AttentionLayout& layout, int64_t filled,
                 const RopeFrequencies& frequencies);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::take_recent) take_recent;
decltype(moe::append_recent) append_recent;
decltype(moe::turn_memory) turn_memory;
}  // namespace cuda

}  // namespace moe
