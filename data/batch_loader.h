// Windows of a split -> the token arrays of a batch.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/token.h"
#include "data/split.h"

namespace moe {

constexpr int32_t kPaddingToken = 0;  // the input behind the end of a split

struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  std::vector<int32_t> inputs;      // (sequences, length)
  std::vector<int32_t> targets;     // (sequences, length); kIgnoreTarget where there is none
  std::vector<int64_t> sample_ids;  // (sequences): what remembers a sample between epochs, see load()

  std::vector<int32_t> domains;  // (sequences): the part of the split that the window begins in

  // Keeps its memory: only a larger batch than ever before allocates.
  void resize(int64_t num_sequences, int64_t sequence_length);
};

// inputs[s][t] = token starts[s] + t, targets[s][t] = token starts[s] + t + 1. A window may reach over the
// end of the split. sample_ids[s] = starts[s] / length: the number of the window in the sampler's grid, the
// same in every epoch although the grid shifts.
void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch);

}  // namespace moe
