// The peak of this machine's cores, to which the shares of moe-bench refer.
#pragma once

namespace moe {

// The rate in GFLOP/s that `threads` threads reach together with independent fused multiply-adds of f32 vectors, of the
// widest kind that this build uses. The best of several short trials.
double fma_peak_gflops(int threads);

}  // namespace moe
