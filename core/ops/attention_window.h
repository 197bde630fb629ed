// The positions that a query attends to in attention with a sliding window (window_attention.h).
#pragma once
#include <cstdint>

#include "core/base/host_device.h"

namespace moe {

// A query at position i of its sequence attends to the positions [i - size, i] that exist. Positions below 0 are in the
// context memory, of which `filled` positions are in use.
struct AttentionWindow {
  int64_t size = 0;  // maximum number of earlier positions that a query attends to; also the size of the context memory
  int64_t filled = 0;  // used positions before each sequence, at most `size`
  bool itself = true;  // a query also attends to its own position

  MOE_HOST_DEVICE int64_t first_seen(int64_t query) const { return query - size > -filled ? query - size : -filled; }
  MOE_HOST_DEVICE int64_t end_seen(int64_t query) const { return itself ? query + 1 : query; }
};

}  // namespace moe
