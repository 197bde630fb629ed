// A rank's shard of a batch on the host, and the transfer of parts of it to the device.
#pragma once
#include <span>
#include <vector>

#include "comm/process_groups.h"
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"
#include "data/batch_loader.h"

namespace moe {

// Views on host data; an empty view means that the input is absent.
struct LocalBatch {
  int64_t sequences = 0, time = 0;
  std::span<const int32_t> inputs, targets;  // (sequences, time); targets may hold kIgnoreTarget
  int64_t first_sequence = 0;                // index in the step's global batch
  int64_t global_sequences = 0;
  std::span<const int32_t> domains{};  // (sequences): the domain of each one's text
  std::span<const double> weights{};   // (sequences): weight of each one's loss in the objective
  std::span<const int32_t> labels{};   // (sequences)
  std::span<const int32_t> lengths{};  // (sequences, modalities): numbers of tokens; empty where all are full
  std::span<const int32_t> document_begins{}, document_ends{};  // (sequences, time), or empty
  std::span<const float> features{};                            // (sequences, patches, patch_features)
  int64_t patch_features = 0;
  int64_t modalities = 1;     // sequences of a row (Batch::modalities)
  int64_t global_tokens = 0;  // scored tokens of the step's global batch; 0: all of its places
  bool begins = false;        // the sequences do not continue those of the previous step: clear the context memory

  static LocalBatch of(const Batch& batch, int64_t first_sequence, int64_t global_sequences);
};

// Buffers for inputs that are converted before the transfer. They keep the largest size that was needed.
struct BatchBuffers {
  std::vector<char> weights, features;
};

// Returns the sequences of `part`, with the number of tokens that are scored, in the activations arena unless the
// device is the host. Each of a sequence's `predictions_per_sample` predictions gets the sequence's weight. The buffers
// must live as long as the result.
TokenBatch to_device(Context& ctx, const LocalBatch& batch, Share part, int64_t predictions_per_sample,
                     BatchBuffers& buffers);

}  // namespace moe
