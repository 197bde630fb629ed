// The arrays of a batch, and windows of a split as such.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/token.h"
#include "data/split.h"

namespace moe {

// A sample in one of the epochs that a run shows it in.
struct SampleVisit {
  int64_t sample = 0, epoch = 0;
};

constexpr int32_t kPaddingToken = 0;  // the input behind the end of a split

struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  std::vector<int32_t> inputs;      // (sequences, length); empty where tokens have no ids
  std::vector<int32_t> targets;     // (sequences, length); kIgnoreTarget where there is none
  std::vector<int64_t> sample_ids;  // (sequences): what remembers a sample between epochs, see load()

  std::vector<int32_t> domains;  // (sequences): the part of the split that the window begins in
  std::vector<int32_t> labels;   // (sequences), of labelled samples; kIgnoreTarget where there is none
  std::vector<int32_t> lengths;  // (sequences): tokens of texts that may end before `length`; empty where all are full
  std::vector<float> features;   // (sequences, patches, patch_features), of images
  int64_t patch_features = 0;

  // Both keep their memory: only a larger batch than ever before allocates.
  void resize(int64_t num_sequences, int64_t sequence_length);
  // Of labelled texts.
  void resize_texts(int64_t num_sequences, int64_t sequence_length);
  // Of labelled samples without token ids, each with so many features.
  void resize_labelled(int64_t num_sequences, int64_t sequence_length, int64_t num_features);
};

// inputs[s][t] = token starts[s] + t, targets[s][t] = token starts[s] + t + 1. A window may reach over the
// end of the split. sample_ids[s] = starts[s] / length: the number of the window in the sampler's grid, the
// same in every epoch although the grid shifts.
void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch);

}  // namespace moe
