#include "core/ops/packed_weights.h"

#include <vector>

#include "core/base/check.h"

namespace moe {

using cpu::PackedOperand;
using cpu::Transpose;

const uint16_t* PackedWeights::of(const Context& ctx, ConstTensor weight, Transpose transpose, Products products) {
  PackedWeights* const packed = ctx.packed_weights;
  if (!packed || packed->open_scopes_ == 0 || products != Products::bf16 || !cpu::can_pack_b()) return nullptr;
  return packed->find(ctx, weight, transpose);
}

void PackedWeights::expect_no_scope(const Context& ctx) {
  MOE_CHECK(!ctx.packed_weights || ctx.packed_weights->open_scopes_ == 0, "weights change while they are kept packed");
}

const uint16_t* PackedWeights::find(const Context& ctx, ConstTensor weight, Transpose transpose) {
  const bool single = weight.shape.rank() == 2;
  const int64_t count = single ? 1 : weight.dim(0), out = weight.dim(single ? 0 : 1), in = weight.dim(single ? 1 : 2);
  const auto [n, k] = transpose == Transpose::yes ? std::pair(out, in) : std::pair(in, out);
  const int64_t elements = cpu::packed_elements(n, k);
  Packed& entry = packed_[{weight.data, transpose}];
  if (!entry.tiles) entry.tiles = arena_.allocate(Shape{count, elements}, DType::bf16);
  MOE_CHECK(entry.tiles.shape == (Shape{count, elements}), "packed weights of another shape");
  if (ctx.planning) return nullptr;
  auto* const tiles = static_cast<uint16_t*>(entry.tiles.data);
  if (entry.version == version_) return tiles;
  entry.version = version_;
  thread_local std::vector<PackedOperand> operands;
  operands.clear();
  for (int64_t i = 0; i < count; ++i) {
    operands.push_back({.b = weight.as<float>() + i * out * in,
                        .ldb = in,
                        .transpose_b = transpose,
                        .n = n,
                        .k = k,
                        .tiles = tiles + i * elements});
  }
  cpu::pack_b(operands);
  return tiles;
}

}  // namespace moe
