// The blocked product on one thread (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008):
// blocks of A and B stay in the L2 cache, a panel of A in the L1 cache, a tile of C in registers. An A that is stored
// along k may be read in place.
#include <algorithm>
#include <array>
#include <memory>

#include "core/base/integer.h"
#include "core/ops/kernels/gemm/few_rows.h"
#include "core/ops/kernels/gemm/gemm_kernels.h"
#include "core/ops/kernels/gemm/pack.h"
#include "core/ops/kernels/gemm/panels.h"
#include "core/ops/kernels/gemm/prefetch.h"
#include "core/ops/kernels/round_bf16.h"

namespace moe::cpu::inline MOE_LEVEL {
namespace {

// The longest run of k that is summed in registers; for f64, half of it. It is part of the definition of the
// result, so it is the same for all instruction sets.
template <class T>
inline constexpr int64_t kMaxDepth = 384 * 4 / sizeof(T);
// Size of a packed block of A: 144 KiB in an L2 cache of 512 KiB or more.
inline constexpr int64_t kBlockABytes = 144 << 10;
// Columns of B that are packed together, also 144 KiB with AVX2. Where B is stored (k, n) its rows are read
// in runs of this length: short runs, a power of two apart, would defeat the prefetchers and evict each
// other.
template <class T>
inline constexpr int64_t kPackColumns = 6 * kTileColumns<T>;
// Columns of B that stay packed for the next block of A: 3 MiB, in the L3 cache.
inline constexpr int64_t kMaxColumns = 2048;

// Size of equal blocks of `total`: at most `limit`; all blocks except the last are multiples of `unit`.
int64_t block_size(int64_t total, int64_t limit, int64_t unit) {
  return round_up(divide_up(total, divide_up(total, limit)), unit);
}

// Thread-local memory for packed panels, aligned to cache lines. It is allocated once for the largest possible blocks,
// because later problems may be larger than the first. Pages that no block reaches stay untouched.
template <class T>
class PackBuffers {
 public:
  static PackBuffers& of_this_thread() {
    static thread_local PackBuffers buffers;
    return buffers;
  }
  T* a() { return a_[0].elements; }
  T* b() { return b_[0].elements; }

  static constexpr int64_t kMaxA = kBlockABytes / sizeof(T) + kTileRows * kMaxDepth<T>;
  static constexpr int64_t kMaxB = (kMaxColumns + kPackColumns<T>)*kMaxDepth<T>;

 private:
  struct alignas(64) Line {
    T elements[64 / sizeof(T)];
  };
  static std::unique_ptr<Line[]> make(int64_t num_elements) {
    return std::make_unique_for_overwrite<Line[]>((num_elements + kPackSlack) * sizeof(T) / sizeof(Line) + 1);
  }
  std::unique_ptr<Line[]> a_ = make(kMaxA), b_ = make(kMaxB);
};

// Multiplies panels of A (rows, k) by panels of B (k, columns). C is traversed along its rows, which touches fewer
// pages and, if a tile is not aligned, fewer cache lines.
template <class T>
void multiply_blocks(const BlockA<T>& a, int64_t rows, const T* b, int64_t columns, int64_t k, const Output<T>& out,
                     Prefetcher& next) {
  constexpr int64_t kColumns = kTileColumns<T>;
  for (int64_t row = 0; row < rows; row += kTileRows) {
    const int64_t num_rows = std::min<int64_t>(kTileRows, rows - row);
    const BlockA<T> panel = a.from_row(row, k);
    for (int64_t column = 0; column < columns; column += kColumns) {
      const int64_t num_columns = std::min(kColumns, columns - column);
      next.step();
      multiply_panels(panel, num_rows, b + column * k, num_columns, k, out.at(row, column));
    }
  }
}

// Whether reading A in place is faster than packing it. With many columns of B packing pays off. Rows that are a
// multiple of 4 KiB apart would map to the same lines of the L1 cache: reading six of them at once costs a tenth of the
// speed.
template <class T>
bool readable_in_place(const GemmProblem<T>& problem) {
  constexpr int64_t kMaxColumnsInPlace = 768, kAliasBytes = 4096;
  return problem.transpose_a == Transpose::no && problem.n <= kMaxColumnsInPlace &&
         problem.lda * static_cast<int64_t>(sizeof(T)) % kAliasBytes != 0;
}

// Prefetches the block of B that pack_b will pack.
template <class T>
Prefetcher fetch_b(const GemmProblem<T>& problem, int64_t p, int64_t k, int64_t column, int64_t extent,
                   int64_t num_steps) {
  if (problem.transpose_b == Transpose::yes) {
    return {problem.b + column * problem.ldb + p, problem.ldb, extent, k, num_steps};
  }
  return {problem.b + p * problem.ldb + column, problem.ldb, k, extent, num_steps};
}

void round(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = round_to_bf16(values[i]);
}

// kRound: the operands are rounded to bf16 as they are packed; T is float then.
template <bool kRound, class T>
void solve(const GemmProblem<T>& problem) {
  const auto [m, n, k] = std::array{problem.m, problem.n, problem.k};
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (problem.accumulate) return;
    for (int64_t i = 0; i < m; ++i) std::fill_n(problem.c + i * problem.ldc, n, T{0});
    return;
  }

  // Depends only on k, because it determines the order of summation.
  const int64_t block_depth = block_size(k, kMaxDepth<T>, 4);
  if (!kRound && takes_few_rows(problem)) return multiply_few_rows(problem, block_depth);
  const int64_t max_rows = std::max<int64_t>(kBlockABytes / sizeof(T) / block_depth, kTileRows);
  const int64_t block_rows = block_size(m, max_rows, kTileRows);
  const int64_t block_columns = block_size(n, kMaxColumns, kPackColumns<T>);
  const bool in_place = !kRound && readable_in_place(problem);
  const bool keep_b = block_rows < m;  // several blocks of A use the same panels of B

  PackBuffers<T>& buffers = PackBuffers<T>::of_this_thread();
  T* const packed_a = buffers.a();
  T* const packed_b = buffers.b();

  for (int64_t column0 = 0; column0 < n; column0 += block_columns) {
    const int64_t end = std::min(n, column0 + block_columns);
    for (int64_t p = 0; p < k; p += block_depth) {
      const int64_t depth = std::min(block_depth, k - p);
      for (int64_t row = 0; row < m; row += block_rows) {
        const int64_t rows = std::min(block_rows, m - row);
        const BlockA<T> block_a = in_place ? BlockA<T>{problem.a + row * problem.lda + p, problem.lda, Rows::in_place}
                                           : BlockA<T>{packed_a, 0, Rows::packed};
        if (!in_place) pack_a<kTileRows>(problem, row, rows, p, depth, packed_a);
        if constexpr (kRound) round(packed_a, round_up(rows, kTileRows) * depth);
        for (int64_t column = column0; column < end; column += kPackColumns<T>) {
          const int64_t columns = std::min(kPackColumns<T>, end - column);
          T* const pack = packed_b + (keep_b ? (column - column0) * depth : 0);
          Prefetcher next;
          if (row == 0) {
            // B is packed at its first use, so that it is read from a near cache. The next panels are prefetched
            // meanwhile.
            pack_b<kTileColumns<T>>(problem, p, depth, column, columns, pack);
            if constexpr (kRound) round(pack, round_up(columns, kTileColumns<T>) * depth);
            const int64_t next_columns = std::min(kPackColumns<T>, end - column - columns);
            const int64_t num_tiles = divide_up(columns, kTileColumns<T>) * divide_up(rows, kTileRows);
            if (next_columns > 0) next = fetch_b(problem, p, depth, column + columns, next_columns, num_tiles);
          }
          const Output<T> out{problem.c + row * problem.ldc + column, problem.ldc, problem.alpha,
                              problem.accumulate || p > 0};
          multiply_blocks(block_a, rows, pack, columns, depth, out, next);
        }
      }
    }
  }
}

}  // namespace

template <class T>
void gemm_serial(const GemmProblem<T>& problem) {
  solve<false>(problem);
}

void rounding_gemm_serial(const GemmProblem<float>& problem) {
  solve<true>(problem);
}

template <class T>
void prepare_gemm_thread() {
  PackBuffers<T>::of_this_thread();
}

template void prepare_gemm_thread<float>();
template void prepare_gemm_thread<double>();
template void gemm_serial(const GemmProblem<float>&);
template void gemm_serial(const GemmProblem<double>&);

}  // namespace moe::cpu::inline MOE_LEVEL
