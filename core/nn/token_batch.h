// What one rank's micro-batch looks like to every module: sequences one after the other, each `time` tokens.
#pragma once
#include <span>

#include "core/tensor/tensor.h"

namespace moe {

struct TokenBatch {
  int64_t sequences = 0;
  int64_t time = 0;
  ConstTensor ids;               // (tokens) i32
  ConstTensor targets;           // (tokens) i32; kIgnoreTarget marks padding, which no statistic counts
  int64_t global_tokens = 0;     // tokens of the whole step on all ranks and micro-batches: what sums are divided by
  int64_t global_sequences = 0;  // likewise
  ConstTensor domains{};         // (sequences) i32, or none: where each sequence's text comes from

  ConstTensor weights{};  // (tokens) wide, or none: of each token's loss in the objective

  int64_t tokens() const { return sequences * time; }
};

// Ids in host memory as a tensor.
inline ConstTensor as_tensor(std::span<const int32_t> ids) {
  return BasicTensor<const void>{ids.data(), Shape{static_cast<int64_t>(ids.size())}, DType::i32, Device::cpu};
}

}  // namespace moe
