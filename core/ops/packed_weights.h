// Weights that were rounded and packed for products in bf16 on the CPU, kept while several products use them: the
// micro-batches of a step, the chunks of an output head, the batches of an evaluation.
#pragma once
#include <cstdint>
#include <map>
#include <utility>

#include "core/ops/gemm.h"
#include "core/tensor/context.h"

namespace moe {

class PackedWeights {
 public:
  // The arena "packed weights" holds all packed forms of all weights.
  explicit PackedWeights(Arena arena) : arena_(std::move(arena)) {}

  // The tiles of weight (out, in), or of each of (experts, out, in) one after the other, as the operand B of y = x W^T
  // (Transpose::yes) or of d_x = d_y W (Transpose::no). Packs them where this scope has not done so yet. Null outside
  // of a PackedWeightsScope, and for products that are not in bf16.
  static const uint16_t* of(const Context& ctx, ConstTensor weight, cpu::Transpose transpose, Products products);

  // Throws InternalError within a scope: called by what changes weights.
  static void expect_no_scope(const Context& ctx);

  size_t bytes() const { return arena_.peak(); }

 private:
  friend class PackedWeightsScope;
  struct Packed {
    Tensor tiles;
    uint64_t version = 0;  // of the weights
  };
  const uint16_t* find(const Context& ctx, ConstTensor weight, cpu::Transpose transpose);

  Arena arena_;
  std::map<std::pair<const void*, cpu::Transpose>, Packed> packed_;
  uint64_t version_ = 0;  // of the weights: a scope may see others than the one before
  int open_scopes_ = 0;
};

// The weights do not change while one of these lives, and products pack each of them once. Scopes may be nested. Does
// nothing for a context without packed weights, nor where weights are used only once (!keep): then it is faster to pack
// a block of a weight at a time, within the caches.
class PackedWeightsScope {
 public:
  explicit PackedWeightsScope(const Context& ctx, bool keep = true) : packed_(keep ? ctx.packed_weights : nullptr) {
    if (packed_ && packed_->open_scopes_++ == 0) ++packed_->version_;
  }
  ~PackedWeightsScope() {
    if (packed_) --packed_->open_scopes_;
  }
  PackedWeightsScope(const PackedWeightsScope&) = delete;
  PackedWeightsScope& operator=(const PackedWeightsScope&) = delete;

 private:
  PackedWeights* packed_;
};

}  // namespace moe
