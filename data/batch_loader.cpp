#include "data/batch_loader.h"

#include <algorithm>

#include "core/base/check.h"

namespace moe {

void Batch::resize(int64_t num_sequences, int64_t sequence_length) {
  sequences = num_sequences;
  length = sequence_length;
  inputs.resize(static_cast<size_t>(num_sequences * sequence_length));
  targets.resize(inputs.size());
  sample_ids.resize(static_cast<size_t>(num_sequences));
  domains.resize(sample_ids.size());
}

void Batch::resize_labelled(int64_t num_sequences, int64_t sequence_length, int64_t num_features) {
  resize(num_sequences, sequence_length);
  inputs.clear();
  labels.resize(static_cast<size_t>(num_sequences));
  features.resize(static_cast<size_t>(num_sequences * num_features));
  domains.clear();
}

void Batch::resize_texts(int64_t num_sequences, int64_t sequence_length) {
  resize(num_sequences, sequence_length);
  labels.resize(static_cast<size_t>(num_sequences));
  lengths.resize(labels.size());
  domains.clear();
}

void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch) {
  MOE_CHECK(length > 0, "windows of length {}; expected at least 1", length);
  batch.resize(static_cast<int64_t>(starts.size()), length);
  for (size_t s = 0; s < starts.size(); ++s) {
    const int64_t start = starts[s];
    MOE_CHECK(start >= 0, "a window starts at {}; expected 0 or more", start);
    int32_t* inputs = batch.inputs.data() + static_cast<int64_t>(s) * length;
    int32_t* targets = batch.targets.data() + static_cast<int64_t>(s) * length;
    const int64_t num_inputs = std::clamp<int64_t>(split.num_tokens() - start, 0, length);
    const int64_t num_targets = std::clamp<int64_t>(split.num_tokens() - start - 1, 0, length);
    if (num_inputs > 0) split.read(start, num_inputs, inputs);
    if (num_targets > 0) split.read(start + 1, num_targets, targets);
    std::fill(inputs + num_inputs, inputs + length, kPaddingToken);
    std::fill(targets + num_targets, targets + length, kIgnoreTarget);
    batch.sample_ids[s] = start / length;
    batch.domains[s] = split.part_of(start);
  }
}

}  // namespace moe
