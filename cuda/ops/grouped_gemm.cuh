// Shared by the portable grouped GEMM and Hopper's: the products, and the tiles that they are cut into.
#pragma once
#include <type_traits>

#include "cuda/kernel/fused_activation.cuh"
#include "cuda/kernel/mma_tile.cuh"
#include "cuda/ops/row_tiles.h"

namespace moe::cuda {

// forward: y = x W^T. input: d_x = d_y W. weight: d_W (+)= d_y^T x, over the expert's rows.
enum class Kind { forward, input, weight };

// Tiles of C = A B of kRows x kColumns elements, for operands of type T.
template <class T, Kind kKind, Fused kFused, int kRows, int kColumns>
struct GemmTile {
  static constexpr Kind kind = kKind;
  static constexpr Fused fused = kFused;
  static constexpr bool kGated = kFused == Fused::swiglu;
  static constexpr int kM = kRows, kN = kColumns;
  static constexpr int kOut = kGated ? kN / 2 : kN;  // contiguous columns; with a gate, of each half
  static constexpr Operand kA = kKind == Kind::weight ? Operand::columns : Operand::rows;
  static constexpr Operand kB = kKind == Kind::forward ? Operand::rows : Operand::columns;
  using Result = std::conditional_t<kKind == Kind::weight, float, T>;
};

// Matrix: how the kernel addresses A and B.
template <class T, class Result, class Matrix>
struct Product {
  Matrix a, b;
  Result* c;
  T* activated = nullptr;  // only with an activation
  int m, n, k;             // weight: m = out, n = in; otherwise n and k of one row tile's product
  const int32_t* offsets = nullptr;
  const RowTile* tiles = nullptr;  // unused for weight
  const int32_t* num_tiles = nullptr;
  int experts = 0;
  bool accumulate = false;  // only for weight

  // c (rows, n) = the product over k columns, for the rows that `row_tiles` lists.
  void set_rows(Tensor rows, int64_t columns, int64_t num_experts, const RowTiles& row_tiles, Tensor activation) {
    c = rows.as<Result>();
    activated = activation ? activation.as<T>() : nullptr;
    n = static_cast<int>(rows.dim(1));
    k = static_cast<int>(columns);
    tiles = row_tiles.tiles();
    num_tiles = row_tiles.count();
    experts = static_cast<int>(num_experts);
  }
  // c (experts, m, n) (+)= the products of each expert's rows, which begin at `row_offsets`.
  void set_weight(Tensor d_weight, ConstTensor row_offsets, bool adds) {
    c = d_weight.as<Result>();
    m = static_cast<int>(d_weight.dim(1));
    n = static_cast<int>(d_weight.dim(2));
    offsets = row_offsets.as<int32_t>();
    experts = static_cast<int>(d_weight.dim(0));
    accumulate = adds;
  }
};

}  // namespace moe::cuda
