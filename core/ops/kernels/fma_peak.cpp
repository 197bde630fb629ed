// The peak of this machine's cores, to which the shares of moe-bench refer.

#include <cstdint>

#include "core/ops/kernels/gemm/gemm_kernels.h"
#include "core/ops/kernels/peak.h"

namespace moe::cpu::inline MOE_LEVEL {

using Vector __attribute__((vector_size(kVectorBytes))) = float;

static constexpr int kChains = 12;  // more than latency x units of a core, and they fit into 16 registers
static constexpr int64_t kRounds = 1'000'000;

static float run_chains(float factor, float term) {
  const Vector f = Vector{} + factor, t = Vector{} + term;
  Vector a = t, b = a + t, c = b + t, d = c + t, e = d + t, g = e + t;
  Vector h = g + t, i = h + t, j = i + t, k = j + t, l = k + t, m = l + t;
  for (int64_t round = 0; round < kRounds; ++round) {
    a = a * f + t, b = b * f + t, c = c * f + t, d = d * f + t;
    e = e * f + t, g = g * f + t, h = h * f + t, i = i * f + t;
    j = j * f + t, k = k * f + t, l = l * f + t, m = m * f + t;
  }
  return (a + b + c + d + e + g + h + i + j + k + l + m)[0];
}

double fma_peak_gflops(int threads) {
  constexpr double kOperations = 2.0 * kChains * kRounds * (kVectorBytes / sizeof(float));
  return best_gflops(threads, kOperations, [] { return run_chains(0.5f, 1); });
}

}  // namespace moe::cpu::inline MOE_LEVEL
