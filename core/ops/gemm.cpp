// Cuts a batch of problems into pieces and distributes them to the threads.
#include "core/ops/gemm.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "core/ops/cpu_kernels.h"

namespace moe::cpu {
namespace {

// Average number of pieces per thread: enough to balance their sizes, few enough not to pack operands too often.
constexpr int64_t kPiecesPerThread = 4;

template <class T>
struct Piece {
  GemmProblem<T> problem;
  int64_t work;
  int64_t place;  // index in the batch; makes the order of pieces of equal work deterministic
};

template <class T>
void check(const GemmProblem<T>& problem) {
  const auto& [a, lda, transpose_a, b, ldb, transpose_b, c, ldc, m, n, k, alpha, accumulate, streamed, packed_b] =
      problem;
  MOE_CHECK(m >= 0 && n >= 0 && k >= 0, "gemm: negative size m {}, n {}, k {}", m, n, k);
  MOE_CHECK(lda >= (transpose_a == Transpose::yes ? m : k), "gemm: rows of A overlap: lda {}, m {}, k {}", lda, m, k);
  MOE_CHECK(ldb >= (transpose_b == Transpose::yes ? k : n), "gemm: rows of B overlap: ldb {}, k {}, n {}", ldb, k, n);
  MOE_CHECK(ldc >= n, "gemm: rows of C overlap: ldc {}, n {}", ldc, n);
}

// Cost in multiply-adds, counted in whole tiles; with a cost for each element that is packed or written.
template <class T>
int64_t work_of(const GemmProblem<T>& problem, const GemmKernel<T>& kernel) {
  const auto [m, n, k] = std::array{round_up(problem.m, kernel.tile_rows), problem.n, problem.k};
  return m * n * k + kernel.packing_cost * (m * k + (problem.packed_b ? 0 : k * n) + m * n);
}

// Rows [row, row + m) and columns [column, column + n) of C.
template <class T>
GemmProblem<T> block_of(GemmProblem<T> problem, int64_t row, int64_t m, int64_t column, int64_t n) {
  problem.a += row * (problem.transpose_a == Transpose::yes ? 1 : problem.lda);
  problem.b += column * (problem.transpose_b == Transpose::yes ? problem.ldb : 1);
  if (problem.packed_b) problem.packed_b += packed_elements(column, problem.k);  // columns of pieces are whole panels
  problem.c += row * problem.ldc + column;
  problem.m = std::min(m, problem.m - row);
  problem.n = std::min(n, problem.n - column);
  return problem;
}

// Appends the pieces of one problem: a grid of about work / piece_work blocks of C, of shapes that give most of these
// pieces the one that needs the least packing. (A narrow C cannot be cut into many columns.) k is never cut, so each
// element of C has one writer and one order of summation.
template <class T>
void cut(const GemmProblem<T>& problem, const GemmKernel<T>& kernel, int64_t place, int64_t piece_work,
         std::vector<Piece<T>>& pieces) {
  const auto [m, n] = std::array{problem.m, problem.n};
  if (m == 0 || n == 0) return;
  const int64_t num_pieces = std::max<int64_t>(1, (work_of(problem, kernel) + piece_work / 2) / piece_work);
  int64_t best_rows = m, best_columns = n;
  std::pair<int64_t, int64_t> least{std::numeric_limits<int64_t>::max(), 0};  // missing pieces, packed rows and columns
  for (int64_t num_down = 1; num_down <= num_pieces; ++num_down) {
    const int64_t num_across = divide_up(num_pieces, num_down);
    const int64_t rows = round_up(divide_up(m, num_down), kernel.tile_rows);
    const int64_t columns = round_up(divide_up(n, num_across), kernel.tile_columns);
    // A is packed once for each column of blocks, B once for each row of blocks.
    const int64_t across = divide_up(n, columns), down = divide_up(m, rows);
    const int64_t missing = std::max<int64_t>(0, num_pieces * 3 / 4 - across * down);
    const std::pair cost{missing, m * across + n * down};
    if (cost >= least) continue;
    least = cost;
    best_rows = rows;
    best_columns = columns;
  }
  for (int64_t column = 0; column < n; column += best_columns) {
    for (int64_t row = 0; row < m; row += best_rows) {
      const GemmProblem<T> piece = block_of(problem, row, best_rows, column, best_columns);
      pieces.push_back({piece, work_of(piece, kernel), place});
    }
  }
}

}  // namespace

template <class T>
void gemm_batch(std::span<const GemmProblem<T>> problems, Products products) {
  for (const GemmProblem<T>& problem : problems) check(problem);
  const GemmKernel<T>& kernel = gemm_kernel<T>(products);
  const int64_t num_threads = omp_in_parallel() ? 1 : omp_get_max_threads();
  if (num_threads == 1) {
    for (const GemmProblem<T>& problem : problems) kernel.serial(problem);
    return;
  }

  // Keeps its capacity: the maximum that cut() makes of this number of problems.
  static thread_local std::vector<Piece<T>> pieces;
  pieces.clear();
  pieces.reserve(3 * problems.size() + static_cast<size_t>(2 * num_threads * kPiecesPerThread));
  int64_t work = 0;
  for (const GemmProblem<T>& problem : problems) work += work_of(problem, kernel);
  const int64_t piece_work = std::max(kernel.min_work, work / (num_threads * kPiecesPerThread));
  for (size_t i = 0; i < problems.size(); ++i) cut(problems[i], kernel, static_cast<int64_t>(i), piece_work, pieces);
  // The largest pieces come first, so that the last ones to finish are short.
  std::sort(pieces.begin(), pieces.end(), [](const Piece<T>& left, const Piece<T>& right) {
    return left.work != right.work ? left.work > right.work : left.place < right.place;
  });

  if (pieces.size() == 1) {  // avoids waking the threads for a small problem
    kernel.serial(pieces[0].problem);
    return;
  }
  // The vector is thread-local, so its name refers to another vector on each thread.
  const Piece<T>* const shared = pieces.data();
  const auto num_pieces = static_cast<int64_t>(pieces.size());
#pragma omp parallel
  {
    kernel.prepare_thread();
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < num_pieces; ++i) kernel.serial(shared[i].problem);
  }
}

template void gemm_batch(std::span<const GemmProblem<float>>, Products);
template void gemm_batch(std::span<const GemmProblem<double>>, Products);

bool can_pack_b() {
  return kernel_table().bf16.pack_b != nullptr;
}

void pack_b(std::span<const PackedOperand> operands) {
  constexpr int64_t kColumns = 4 * kPackedExtent;  // of a piece: long enough for runs of memory, many enough to share
  const auto pack = kernel_table().bf16.pack_b;
  int64_t most = 0;
  for (const PackedOperand& x : operands) most = std::max(most, divide_up(x.n, kColumns));
  const auto count = static_cast<int64_t>(operands.size());
#pragma omp parallel for collapse(2) schedule(dynamic, 4)
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t piece = 0; piece < most; ++piece) {
      PackedOperand x = operands[static_cast<size_t>(i)];
      const int64_t column = piece * kColumns;
      if (column >= x.n) continue;
      x.b += column * (x.transpose_b == Transpose::yes ? x.ldb : 1);
      x.tiles += packed_elements(column, x.k);
      x.n = std::min(kColumns, x.n - column);
      pack(x);
    }
  }
}

}  // namespace moe::cpu
