// Measures a rate of arithmetic: several short trials, of which the best counts.
#pragma once
#include <algorithm>
#include <chrono>

#include "core/ops/kernels/level.h"

namespace moe::cpu::inline MOE_LEVEL {

// GFLOP/s of `threads` threads that all call work(), which does `operations` each time and returns a number that
// depends on them.
template <class Work>
static double best_gflops(int threads, double operations, Work work) {
  constexpr int kTrials = 5;
  double best = 0;
  float total = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto start = std::chrono::steady_clock::now();
#pragma omp parallel num_threads(threads) reduction(+ : total)
    total += work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, operations * threads / seconds / 1e9);
  }
  volatile float used = total;  // otherwise the compiler leaves the work out
  (void)used;
  return best;
}

}  // namespace moe::cpu::inline MOE_LEVEL
