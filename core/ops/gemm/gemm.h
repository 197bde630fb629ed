// Matrix products on the CPU: many ragged problems at once (the experts of a layer), or one on the calling
// thread.
#pragma once
#include <cstdint>
#include <span>

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
  bool accumulate = false;  // otherwise C is only written, never read
};

// Solves all problems on the OpenMP threads of the caller; inside a parallel region, on the calling thread
// alone. The outputs must not overlap. Any of m, n, k may be 0; k = 0 writes zeros, or leaves C alone when
// accumulating.
//
// Every element of C is summed in an order that only k decides: the result is the same to the last bit for
// any number of threads, any m and n and any place of a row in its problem.
template <class T>  // float, double
void gemm_batch(std::span<const GemmProblem<T>> problems);

// One problem on the calling thread, with the same bits as gemm_batch.
template <class T>
void gemm_serial(const GemmProblem<T>& problem);

// Makes the calling thread's memory for gemm_serial, so that no later call has to: whichever thread gets the work of a
// training step, only the first step allocates.
template <class T>
void prepare_gemm_thread();

}  // namespace moe::cpu
