// The arrays of a batch, and loading of plain windows of a split.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/token.h"
#include "data/split.h"

namespace moe {

// One visit to a sample: the sample and the epoch in which it is drawn.
struct SampleVisit {
  int64_t sample = 0, epoch = 0;
};

constexpr int32_t kPaddingToken = 0;  // the input past the end of a split

struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  std::vector<int32_t> inputs;      // (sequences, length); empty where tokens have no ids
  std::vector<int32_t> targets;     // (sequences, length); kIgnoreTarget where there is none
  std::vector<int64_t> sample_ids;  // (sequences): identifies a sample across epochs, see load()

  std::vector<int32_t> domains;  // (sequences): index of the part of the split in which the window begins
  std::vector<int32_t> labels;   // (sequences), of labelled samples; kIgnoreTarget where there is none
  std::vector<int32_t> lengths;  // (sequences): tokens of texts that may end before `length`; empty where all are full
  std::vector<float> features;   // (sequences, patches, patch_features), of images
  int64_t patch_features = 0;

  // Both keep their memory, so only a batch larger than all before it allocates.
  void resize(int64_t num_sequences, int64_t sequence_length);
  // Resizes the arrays that labelled texts use.
  void resize_texts(int64_t num_sequences, int64_t sequence_length);
  // Resizes the arrays of labelled samples without token ids; each token has `num_features` features.
  void resize_labelled(int64_t num_sequences, int64_t sequence_length, int64_t num_features);
};

// inputs[s][t] = token starts[s] + t, targets[s][t] = token starts[s] + t + 1. A window may extend past the end of the
// split. sample_ids[s] = starts[s] / length: the index of the window in the sampler's grid. It is the same in every
// epoch although the grid shifts.
void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch);

}  // namespace moe
