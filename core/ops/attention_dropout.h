// Dropout of attention weights, applied after the softmax, so that the remaining weights do not sum to 1, and scaled by
// 1 / (1 - rate) (Vaswani et al., 2017, as in their reference implementation). The mask is a function of the random
// key, the sequence's index in the step's global batch, the head, the query and the key position. It does not depend on
// the rank layout or the micro-batch, and backward draws it again.
#pragma once
#include <array>
#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/integer.h"
#include "core/base/philox.h"
#include "core/ops/attention_layout.h"

namespace moe {

struct AttentionDropout {
  double rate = 0;
  RandomKey key{};
  int64_t first_sequence = 0;  // index of the tensors' first sequence in the global batch

  explicit operator bool() const { return rate > 0; }
};

// The form that kernels use: factors on the weights, 0 or 1 / (1 - rate), for four neighbouring keys at a time.
struct AttentionMask {
  RandomKey key{};
  uint32_t threshold = 0;  // 0: no dropout
  float keep = 1;
  int64_t first_sequence = 0, heads = 0, time = 0;
  int64_t before = 0;  // visible positions before the sequence: key positions start at -before
  int64_t quads = 0;   // groups of four keys

  static AttentionMask of(const AttentionDropout& dropout, const AttentionLayout& layout, int64_t before = 0) {
    return {.key = dropout.key,
            .threshold = static_cast<uint32_t>(dropout.rate * 4294967296.0),
            .keep = static_cast<float>(1 / (1 - dropout.rate)),
            .first_sequence = dropout.first_sequence,
            .heads = layout.heads,
            .time = layout.time,
            .before = before,
            .quads = (layout.time + before + 3) / 4};
  }
  MOE_HOST_DEVICE explicit operator bool() const { return threshold > 0; }

  // The group of four keys that a position belongs to, and its index in the group.
  MOE_HOST_DEVICE int64_t quad_of(int64_t key_place) const { return (key_place + before) / 4; }
  MOE_HOST_DEVICE int lane_of(int64_t key_place) const { return static_cast<int>((key_place + before) % 4); }

  MOE_HOST_DEVICE uint64_t element(int64_t sequence, int64_t head, int64_t query, int64_t quad) const {
    const int64_t row = ((first_sequence + sequence) * heads + head) * time + query;
    return static_cast<uint64_t>(row * quads + quad);
  }
  MOE_HOST_DEVICE std::array<uint32_t, 4> words(int64_t sequence, int64_t head, int64_t query, int64_t quad) const {
    return key.words(element(sequence, head, query, quad));
  }
  MOE_HOST_DEVICE float factor(uint32_t word) const { return word < threshold ? 0.0f : keep; }
  // The factor on one weight. Draws all four words of its group.
  MOE_HOST_DEVICE float factor(int64_t sequence, int64_t head, int64_t query, int64_t key_place) const {
    return factor(words(sequence, head, query, quad_of(key_place))[as_index(lane_of(key_place))]);
  }
};

}  // namespace moe
