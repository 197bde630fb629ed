// Layout of queries, keys and values in one row per token, as the fused projection computes them.
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
  bool causal = true;  // a token attends to itself and earlier tokens; otherwise to its whole sequence

  // For attention that is not causal with sequences shorter than `time`: the number of tokens of each sequence, on the
  // tensors' device. Only these tokens are attended to; the rest is padding, whose results are meaningless. Null: all
  // sequences are full.
  const int32_t* lengths = nullptr;

  // For causal attention of sequences that hold several documents, which do not attend to one another: the place in its
  // sequence at which each token's document begins, and at which it ends (both (tokens), on the tensors' device).
  // Null: each sequence is one document.
  const int32_t* begins = nullptr;
  const int32_t* ends = nullptr;

  // Where the document of token `token` (of all sequences) begins and ends in its sequence; its place in the document.
  MOE_HOST_DEVICE int64_t document_begin(int64_t token) const { return begins == nullptr ? 0 : begins[token]; }
  MOE_HOST_DEVICE int64_t document_end(int64_t token) const { return ends == nullptr ? time : ends[token]; }
  MOE_HOST_DEVICE int64_t position(int64_t token) const { return token % time - document_begin(token); }

  // Number of tokens of a sequence that can be attended to; 1 for an empty sequence.
  MOE_HOST_DEVICE int64_t length(int64_t sequence) const {
    return lengths == nullptr ? time : lengths[sequence] > 0 ? lengths[sequence] : 1;
  }
  // A query attends to the keys [document_begin, visible) of its sequence, which has `length` tokens.
  MOE_HOST_DEVICE int64_t visible(int64_t query, int64_t length) const { return causal ? query + 1 : length; }
  MOE_HOST_DEVICE int64_t width() const { return (heads + 2 * kv_heads) * d_head; }
  MOE_HOST_DEVICE int64_t key_column() const { return heads * d_head; }
  MOE_HOST_DEVICE int64_t value_column() const { return (heads + kv_heads) * d_head; }
  // Row width of a context memory's position: [key heads | value heads].
  MOE_HOST_DEVICE int64_t memory_width() const { return 2 * kv_heads * d_head; }
};

}  // namespace moe
