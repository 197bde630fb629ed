// A memory of keys and values that later segments of the same rows attend to: what is put there, and how it is turned.
#pragma once
#include "core/ops/attention_layout.h"
#include "core/tensor/context.h"

namespace moe {

// The keys and values of the last n places of each sequence: qkv (sequences * layout.time, layout.width()) -> recent
// (sequences, n, layout.memory_width()), n <= layout.time.
void take_recent(Context& ctx, Tensor recent, ConstTensor qkv, const AttentionLayout& layout);
// memory (sequences, size, width) forgets its first n positions of each sequence and gets recent (sequences, n, width)
// at the end; n <= size.
void append_recent(Context& ctx, Tensor memory, ConstTensor recent);
// The last `filled` positions of memory (sequences, size, width) -> the same of turned, keys turned as rope.h does at
// the places -filled .. -1 that lie before a sequence. The rest of turned stays as it is.
void turn_memory(Context& ctx, Tensor turned, ConstTensor memory, const AttentionLayout& layout, int64_t filled,
                 int64_t rotary_dims, double theta);

namespace cuda {  // the twins; their arguments have been checked
decltype(moe::take_recent) take_recent;
decltype(moe::append_recent) append_recent;
decltype(moe::turn_memory) turn_memory;
}  // namespace cuda

}  // namespace moe
