// Matrix products on the CPU: many ragged problems at once (the experts of a layer), or one on the calling
// thread.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/integer.h"
#include "core/tensor/dtype.h"

namespace moe::cpu {

enum class Transpose { no, yes };

// C (m, n) = alpha op(A) op(B) [+ C when accumulate], op(A) (m, k), op(B) (k, n). All three are row-major; a
// leading dimension is the distance between two stored rows. A transposed operand is stored (k, m) or (n, k).
template <class T>
struct GemmProblem {
  const T* a;
  int64_t lda;
  Transpose transpose_a;
  const T* b;
  int64_t ldb;
  Transpose transpose_b;
  T* c;
  int64_t ldc;
  int64_t m, n, k;
  T alpha = 1;
  bool accumulate = false;             // otherwise C is only written, never read
  bool streamed = false;               // C is large and not needed soon: it may be written past the caches
  const uint16_t* packed_b = nullptr;  // op(B) as pack_b() packed it, for products in bf16; b is not read then
};

// Solves all problems on the caller's OpenMP threads, or on the calling thread alone inside a parallel region. The
// outputs must not overlap. Any of m, n, k may be 0; k = 0 writes zeros, or leaves C unchanged when accumulating.
// Every element of C is summed in an order that depends only on k. The result is bitwise the same for any number of
// threads, any m and n and any position of a row in its problem.
// Products::bf16 needs T = float.
template <class T>  // float, double
void gemm_batch(std::span<const GemmProblem<T>> problems, Products products = Products::full);

// An operand B that several products use, to be rounded to bf16 and packed once. Its tiles are those that products
// would pack themselves, so results are bitwise the same.
struct PackedOperand {
  const float* b;
  int64_t ldb;
  Transpose transpose_b;
  int64_t n, k;
  uint16_t* tiles;  // packed_elements(n, k), at a cache line
};

// B is packed in pieces of 32 columns with all of k. Missing columns and positions are zero.
inline constexpr int64_t kPackedExtent = 32;
constexpr int64_t packed_elements(int64_t n, int64_t k) {
  return round_up(n, kPackedExtent) * round_up(k, kPackedExtent);
}
// Whether the chosen instruction set has products in bf16 that use packed operands.
bool can_pack_b();
// On the caller's OpenMP threads. Only where can_pack_b().
void pack_b(std::span<const PackedOperand> operands);

}  // namespace moe::cpu
