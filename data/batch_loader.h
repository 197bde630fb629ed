// The arrays of a batch, and loading of plain windows of a split.
#pragma once
#include <algorithm>
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

constexpr int32_t kPaddingToken = 0;  // the input at places after the end of a sequence

// A place of a batch is one of three things, and `targets` and `lengths` say which:
//   scored   a token whose prediction or label counts: its target is not kIgnoreTarget
//   context  a token that is only there for others: before its sequence's end, but its target is kIgnoreTarget
//   padding  no token: after its sequence's end, where the target is kIgnoreTarget, too
// Losses and statistics are of scored places. Limits (capacities, experts that choose tokens) divide the room among all
// tokens, scored or not. Nothing else decides which places count.
struct Batch {
  int64_t sequences = 0;
  int64_t length = 0;
  // Sequences of equal length in a row, each of another modality; a row is a sample.
  int64_t modalities = 1;
  std::vector<int32_t> inputs;      // (sequences, length); empty where tokens have no ids
  std::vector<int32_t> targets;     // (sequences, length); kIgnoreTarget at places that are not scored
  std::vector<int64_t> sample_ids;  // (sequences): identifies a sample across epochs, see load()
  std::vector<int64_t> starts;      // (sequences): index in the split of the first token; empty where it is no window

  std::vector<int32_t> domains;  // (sequences): the source (Split::source_of) of the window's first token
  std::vector<int32_t> labels;   // (sequences), of labelled samples; kIgnoreTarget where there is none
  std::vector<int32_t> lengths;  // (sequences, modalities): number of tokens; empty where all are full
  // (sequences, length): where in its sequence each place's document begins and ends; empty unless documents are
  // separate
  std::vector<int32_t> document_begins, document_ends;
  int64_t prefix = 0;           // leading places of each sequence that are a retrieved prefix (data.retrieval)
  std::vector<float> features;  // (sequences, patches, patch_features), of images and sounds
  int64_t patch_features = 0;

  // Both keep their memory, so only a batch larger than all before it allocates.
  void resize(int64_t num_sequences, int64_t sequence_length);
  // Resizes the arrays that labelled texts use.
  void resize_texts(int64_t num_sequences, int64_t sequence_length);
  // Resizes the arrays of labelled samples without token ids; each token has `num_features` features.
  void resize_labelled(int64_t num_sequences, int64_t sequence_length, int64_t num_features);
};

// The size of labelled samples that are cut into patches.
struct PatchedShape {
  int64_t time = 0;  // tokens of a sample
  int64_t patches = 0, features = 0;
};
// Resizes the batch and loads visits of a set of `samples` samples: label(sample) is a sample's class, and cut(visit,
// patches) writes its patches (patches, features). Samples past the set's end are ignored entirely: they have no label,
// and all positions are padding.
template <class Label, class Cut>
void load_patches(std::span<const SampleVisit> visits, int64_t samples, const PatchedShape& shape, Batch& batch,
                  Label label, Cut cut) {
  const int64_t numbers = shape.patches * shape.features;
  batch.resize_labelled(static_cast<int64_t>(visits.size()), shape.time, numbers);
  batch.patch_features = shape.features;
  for (size_t i = 0; i < visits.size(); ++i) {
    const bool exists = visits[i].sample < samples;
    const auto part = [&](auto& list, int64_t each) {
      return std::span(list).subspan(i * static_cast<size_t>(each), static_cast<size_t>(each));
    };
    const std::span<float> patches = part(batch.features, numbers);
    std::ranges::fill(part(batch.targets, shape.time), exists ? 0 : kIgnoreTarget);
    batch.labels[i] = exists ? label(visits[i].sample) : kIgnoreTarget;
    batch.sample_ids[i] = visits[i].sample;
    if (exists)
      cut(visits[i], patches);
    else
      std::ranges::fill(patches, 0.0f);
  }
}

// Consecutive tokens of a split: inputs[t] = token start + t, targets[t] = token start + t + 1.
struct Window {
  int64_t start = 0;
  int64_t tokens = 0;   // the window ends with the last token that has a target; the rest of the batch's row is padding
  int64_t context = 0;  // leading tokens that are not scored
};
// Writes a window into row `sequence` of a resized batch, except for sample_ids. Where the batch has room for the
// places of documents, they are written, and a document's first token is no target of the one before.
void load_window(const Split& split, const Window& window, int64_t sequence, Batch& batch);
// Resizes the batch and calls load_row(i), which loads a window into row i. `separate`: with the places of documents.
template <class LoadRow>
void load_rows(int64_t sequences, int64_t length, Batch& batch, bool separate, LoadRow load_row) {
  batch.resize(sequences, length);
  batch.document_begins.resize(separate ? batch.inputs.size() : 0);
  batch.document_ends.resize(batch.document_begins.size());
  batch.lengths.resize(batch.sample_ids.size());
  for (int64_t i = 0; i < sequences; ++i) load_row(i);
  const auto is_full = [&](int32_t tokens) { return tokens == length; };
  if (std::all_of(batch.lengths.begin(), batch.lengths.end(), is_full)) batch.lengths.clear();
}

// Resizes the batch and loads window_of(i), a Window, into each row i.
template <class WindowOf>
void load_windows(const Split& split, int64_t sequences, int64_t length, Batch& batch, WindowOf window_of,
                  bool separate = false) {
  load_rows(sequences, length, batch, separate, [&](int64_t i) { load_window(split, window_of(i), i, batch); });
}

// Loads the windows that begin at `starts`, which may extend past the end of the split. sample_ids[s] = starts[s] /
// length: the index of the window in the sampler's grid. It is the same in every epoch although the grid shifts.
void load(const Split& split, std::span<const int64_t> starts, int64_t length, Batch& batch, bool separate = false);

}  // namespace moe
