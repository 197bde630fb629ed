// The products of core/ops/gemm.h for one instruction set.
#pragma once
#include "core/ops/cpu_kernels.h"
#include "core/ops/kernels/gemm/micro_kernel.h"

namespace moe::cpu::inline MOE_LEVEL {

// Solves one problem on the calling thread.
template <class T>  // float, double
void gemm_serial(const GemmProblem<T>& problem);
// Rounds the operands to bf16 as it packs them.
void rounding_gemm_serial(const GemmProblem<float>& problem);
// Allocates the calling thread's memory, so that later calls do not. Then only the first training step allocates, even
// if other threads do the work in later steps.
template <class T>
void prepare_gemm_thread();

template <class T>
constexpr GemmKernel<T> kGemm{.serial = gemm_serial<T>,
                              .prepare_thread = prepare_gemm_thread<T>,
                              .tile_rows = kTileRows,
                              .tile_columns = kTileColumns<T>,
                              .packing_cost = 16,
                              .min_work = int64_t{1} << 20};
constexpr GemmKernel<float> kRoundingGemm = [] {
  GemmKernel<float> kernel = kGemm<float>;
  kernel.serial = rounding_gemm_serial;
  return kernel;
}();

double fma_peak_gflops(int threads);

}  // namespace moe::cpu::inline MOE_LEVEL
