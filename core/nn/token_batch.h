// What one rank's micro-batch looks like to every module: sequences one after the other, each `time` tokens.
#pragma once
#include <span>

#include "core/tensor/tensor.h"

namespace moe {

class ContextMemory;

struct TokenBatch {
  int64_t sequences = 0;
  int64_t time = 0;
  ConstTensor ids;               // (tokens) i32; absent where tokens have features instead
  ConstTensor targets;           // (tokens) i32: of a language model the tokens that follow, of labelled samples 0;
                                 // kIgnoreTarget marks padding, which no statistic counts
  int64_t global_tokens = 0;     // tokens of the whole step on all ranks and micro-batches, without padding: what sums
                                 // are divided by
  int64_t global_sequences = 0;  // likewise
  ConstTensor domains{};         // (sequences) i32, or none: where each sequence's text comes from

  ConstTensor weights{};  // (predictions) wide, or none: of each one's loss in the objective
  ConstTensor labels{};   // (sequences) i32, of labelled samples; kIgnoreTarget for none
  ConstTensor lengths{};  // (sequences) i32, of texts that may end before `time`; none where all are full
  int64_t padding = 0;    // tokens behind those ends
  std::span<const int32_t> host_lengths{};  // `lengths` once more
  ConstTensor features{};                   // (patches, numbers of a patch) wide, of images

  // What came before the sequences: rows [first_row, first_row + sequences) of it; none where nothing is remembered.
  const ContextMemory* memory = nullptr;
  int64_t first_row = 0;

  int64_t tokens() const { return sequences * time; }
  int64_t counted() const { return tokens() - padding; }
  // Of the whole step, padding too: what numbers of tokens, by which random numbers are drawn, are below.
  int64_t global_places() const { return global_sequences * time; }
};

// What a model has to know of its samples before it sees one.
struct SampleShape {
  SampleShape() = default;
  // Text of so many kinds of tokens; as long as data.sequence says.
  SampleShape(int64_t vocabulary) : vocab(vocabulary) {}

  int64_t time = 0;      // tokens of a sample, at most; 0 = data.sequence
  int64_t vocab = 0;     // token ids are below; 0: tokens have no ids
  int64_t patches = 0;   // of an image
  int64_t features = 0;  // numbers of a patch; 0: no images
  int64_t classes = 0;   // labels are below; 0: samples have none
};

// Ids in host memory as a tensor.
inline ConstTensor as_tensor(std::span<const int32_t> ids) {
  return BasicTensor<const void>{ids.data(), Shape{static_cast<int64_t>(ids.size())}, DType::i32, Device::cpu};
}

}  // namespace moe
