// A rank's share of a batch on the host, and parts of it where the model can use them.
#pragma once
#include <span>
#include <vector>

#include "comm/process_groups.h"
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"
#include "data/batch_loader.h"

namespace moe {

// Views; what is empty is absent.
struct LocalBatch {
  int64_t sequences = 0, time = 0;
  std::span<const int32_t> inputs, targets;  // (sequences, time); targets may hold kIgnoreTarget
  int64_t first_sequence = 0;                // in the step's global batch
  int64_t global_sequences = 0;
  std::span<const int32_t> domains{};  // (sequences): where each one's text comes from
  std::span<const double> weights{};   // (sequences): of each one's loss in the objective
  std::span<const int32_t> labels{};   // (sequences)
  std::span<const int32_t> lengths{};  // (sequences): tokens of texts that may end before `time`
  std::span<const float> features{};   // (sequences, patches, patch_features)
  int64_t patch_features = 0;
  int64_t global_tokens = 0;  // of the step's global batch, without padding; 0: all of its sequences are full
  bool begins = false;        // the sequences do not follow those of the step before: what was remembered is forgotten

  static LocalBatch of(const Batch& batch, int64_t first_sequence, int64_t global_sequences);
};

// Memory for what has to be converted on the way; keeps the largest that was needed.
struct BatchBuffers {
  std::vector<char> weights, features;
};

// The sequences of `part`, in the activations arena where they are not on the host. A sequence's weight is given to
// each of its `predictions_per_sample` predictions. The buffers must live as long as the result.
TokenBatch to_device(Context& ctx, const LocalBatch& batch, Share part, int64_t predictions_per_sample,
                     BatchBuffers& buffers);

}  // namespace moe
