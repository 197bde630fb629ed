// One rank's micro-batch, as all modules receive it: consecutive sequences of `time` tokens each.
#pragma once
#include <algorithm>
#include <numeric>
#include <span>

#include "core/ops/prediction_losses.h"
#include "core/tensor/tensor.h"

namespace moe {

class ContextMemory;
class KeyValueCache;

struct TokenBatch {
  int64_t sequences = 0;
  int64_t time = 0;
  ConstTensor ids;  // (tokens) i32; absent if tokens have features instead
  // (tokens) i32: the next tokens for a language model, 0 for labelled samples; kIgnoreTarget for tokens that are not
  // scored, which all losses and statistics exclude (see Batch, data/batch_loader.h).
  ConstTensor targets;
  // Scored tokens of the whole step over all ranks and micro-batches: the divisor of sums.
  int64_t global_tokens = 0;
  int64_t global_sequences = 0;  // likewise
  ConstTensor domains{};         // (sequences) i32, or none: the domain of each sequence's text

  // Set for the backward pass through the blocks, when the losses are known; none in other passes.
  PredictionLosses losses{};

  ConstTensor weights{};  // (predictions) wide, or none: weight of each prediction's loss in the objective
  ConstTensor labels{};   // (samples) i32, for labelled samples; kIgnoreTarget for no label
  // (sequences) i32: the number of tokens of each sequence, after which is padding, that takes no room from tokens;
  // none if all sequences are full.
  ConstTensor lengths{};
  // (tokens) i32 each, or none where each sequence is one document: where in its sequence a token's document begins and
  // ends. A token attends to its own document alone, and positions begin at 0 there.
  ConstTensor document_begins{}, document_ends{};
  std::span<const int32_t> host_lengths{};  // `lengths` in host memory
  int64_t unscored = 0;                     // number of targets that are kIgnoreTarget
  // wide: (patches, features) of images and sounds; (samples * modalities * rows, width) of samples with two
  // modalities that have features, see FeatureRows.
  ConstTensor features{};
  // Sequence s is of modality s % modalities; the sequences of a sample follow one another. `labels` and `weights` are
  // those of samples.
  int64_t modalities = 1;

  // The context memory before the sequences: its rows [first_row, first_row + sequences). Null without context memory.
  const ContextMemory* memory = nullptr;
  int64_t first_row = 0;

  // The cache of the tokens before these, when text is written: sequence s is row cache_rows[s] of it, and its tokens
  // stand at the positions starts[s] + i of their text. Null: a sequence begins with its first token here.
  const KeyValueCache* cache = nullptr;
  ConstTensor cache_rows{}, starts{};  // (sequences) i32

  int64_t tokens() const { return sequences * time; }
  int64_t samples() const { return sequences / modalities; }
  int64_t scored() const { return tokens() - unscored; }
  // Token slots in the whole step, padding included: an exclusive upper bound on the token index used as RNG counter.
  int64_t global_places() const { return global_sequences * time; }
};

// The rows in which a batch holds the features of samples: of each sample `rows` rows of `width` values for each of
// `modalities` modalities that have features. Where there are two, `width` divides the size of the patches of both, and
// the last rows of the modality with fewer values are 0.
struct FeatureRows {
  int64_t width = 0, rows = 0, modalities = 1;

  int64_t per_sample() const { return rows * modalities; }
};

// Shape of a task's samples, from which a model is built.
struct SampleShape {
  SampleShape() = default;
  // Text with `vocabulary` token ids and the length from data.sequence.
  SampleShape(int64_t vocabulary) : vocab(vocabulary) {}

  int64_t time = 0;      // maximum number of tokens of a sample; 0 = data.sequence
  int64_t vocab = 0;     // token ids are < vocab; 0: tokens have no ids
  int64_t patches = 0;   // patches of an image or of a sound's spectrogram
  int64_t features = 0;  // values of a patch; 0: no patches
  int64_t classes = 0;   // labels are < classes; 0: samples have no labels
  // Sequences of a sample, each of another modality and padded to the same length; `time` is that of all together.
  int64_t modalities = 1;
  int64_t second_patches = 0, second_features = 0;  // of the second of two modalities, if it has patches

  FeatureRows feature_rows() const {
    if (second_features == 0) return {features, patches, 1};
    const int64_t width = std::gcd(features, second_features);
    return {width, std::max(patches * features, second_patches * second_features) / width, 2};
  }
};

// Wraps ids in host memory as a tensor.
inline ConstTensor as_tensor(std::span<const int32_t> ids) {
  return BasicTensor<const void>{ids.data(), Shape{static_cast<int64_t>(ids.size())}, DType::i32, Device::cpu};
}

}  // namespace moe
