#include "data/batch_loader.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

void Batch::resize(int64_t num_sequences, int64_t sequence_length) {
  sequences = num_sequences;
  length = sequence_length;
  prefix = 0;
  inputs.resize(static_cast<size_t>(num_sequences * sequence_length));
  targets.resize(inputs.size());
  sample_ids.resize(static_cast<size_t>(num_sequences));
  domains.resize(sample_ids.size());
  starts.resize(sample_ids.size());
}

void Batch::resize_labelled(int64_t num_sequences, int64_t sequence_length, int64_t num_features) {
  resize(num_sequences, sequence_length);
  inputs.clear();
  document_begins.clear();
  document_ends.clear();
  labels.resize(static_cast<size_t>(num_sequences));
  features.resize(static_cast<size_t>(num_sequences * num_features));
  domains.clear();
  starts.clear();
}

void Batch::resize_texts(int64_t num_sequences, int64_t sequence_length) {
  resize(num_sequences, sequence_length);
  labels.resize(static_cast<size_t>(num_sequences));
  lengths.resize(labels.size());
  domains.clear();
  starts.clear();
}

// Writes where the documents of a row begin and end. What is after the window is one more document.
static void separate_documents(const Split& split, const Window& window, int64_t sequence, Batch& batch) {
  const int64_t row = sequence * batch.length;
  int64_t begin = 0;
  const auto end_at = [&](int64_t end) {
    std::fill_n(batch.document_begins.begin() + row + begin, end - begin, static_cast<int32_t>(begin));
    std::fill_n(batch.document_ends.begin() + row + begin, end - begin, static_cast<int32_t>(end));
    begin = end;
  };
  if (window.tokens > 0) {
    split.visit_documents(window.start, window.tokens + 1, [&](int64_t first, int64_t) {
      const int64_t place = first - window.start;
      if (place < 1) return true;
      batch.targets[as_index(row + place - 1)] = kIgnoreTarget;
      end_at(place);
      return true;
    });
  }
  if (window.tokens > begin) end_at(window.tokens);
  end_at(batch.length);
}

void load_window(const Split& split, const Window& window, int64_t sequence, Batch& batch) {
  const auto [start, tokens, context] = window;
  MOE_CHECK(start >= 0 && 0 <= context && context <= tokens && tokens <= batch.length,
            "a window of {} tokens from {}, {} of them context, in a row of {}", tokens, start, context, batch.length);
  int32_t* const inputs = batch.inputs.data() + sequence * batch.length;
  int32_t* const targets = batch.targets.data() + sequence * batch.length;
  if (tokens > 0) {
    split.read(start, tokens, inputs);
    split.read(start + 1, tokens, targets);
  }
  std::fill(inputs + tokens, inputs + batch.length, kPaddingToken);
  std::fill(targets, targets + context, kIgnoreTarget);
  if (split.has_scored()) {
    split.visit_scored(start + 1, tokens, [&](int64_t begin, int64_t end, bool is_scored) {
      if (!is_scored) std::fill(targets + begin - start - 1, targets + end - start - 1, kIgnoreTarget);
    });
  }
  std::fill(targets + tokens, targets + batch.length, kIgnoreTarget);
  if (!batch.document_begins.empty()) separate_documents(split, window, sequence, batch);
  batch.lengths[as_index(sequence)] = static_cast<int32_t>(tokens);
  batch.starts[as_index(sequence)] = start;
  batch.domains[as_index(sequence)] = split.source_of(start);
}

void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch, bool separate) {
  MOE_CHECK(length > 0, "windows of length {}; expected at least 1", length);
  load_windows(
      split, std::ssize(starts), length, batch,
      [&](int64_t i) {
        const int64_t start = starts[as_index(i)];
        return Window{start, std::clamp<int64_t>(split.num_tokens() - start - 1, 0, length)};
      },
      separate);
  for (size_t s = 0; s < starts.size(); ++s) batch.sample_ids[s] = starts[s] / length;
}

}  // namespace moe
