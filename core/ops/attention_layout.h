// How queries, keys and values lie in one row per token: the product of the fused projection.
#pragma once
#include <cstdint>

#include "core/base/host_device.h"

namespace moe {

// A row is [query heads | key heads | value heads], each d_head wide. Query head h uses key/value head
// h / (heads / kv_heads). Tokens are batch x time, sequences one after the other.
struct AttentionLayout {
  int64_t time = 0;  // tokens per sequence
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t d_head = 0;
  bool causal = true;  // a token sees itself and those before it; otherwise its whole sequence

  // Where attention is not causal and sequences end before `time`: the tokens of each, which are all that is seen; what
  // follows is padding, whose own results mean nothing. None: all are full. On the tensors' device.
  const int32_t* lengths = nullptr;

  // Tokens of a sequence that are seen at all; of an empty one, one.
  MOE_HOST_DEVICE int64_t length(int64_t sequence) const {
    return lengths == nullptr ? time : lengths[sequence] > 0 ? lengths[sequence] : 1;
  }
  // A query sees the keys [0, visible) of its sequence, which has `length` tokens.
  MOE_HOST_DEVICE int64_t visible(int64_t query, int64_t length) const { return causal ? query + 1 : length; }
  MOE_HOST_DEVICE int64_t width() const { return (heads + 2 * kv_heads) * d_head; }
  MOE_HOST_DEVICE int64_t key_column() const { return heads * d_head; }
  MOE_HOST_DEVICE int64_t value_column() const { return (heads + kv_heads) * d_head; }
  // Of a position of a memory: [key heads | value heads].
  MOE_HOST_DEVICE int64_t memory_width() const { return 2 * kv_heads * d_head; }
};

}  // namespace moe
