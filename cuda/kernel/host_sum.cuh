// Partial sums of a kernel's blocks, added up on the host: the way that a number leaves the device.
#pragma once
#include <array>
#include <vector>

#include "core/tensor/copy.h"
#include "cuda/kernel/reduce.cuh"

namespace moe::cuda {

// Memory for kPartials blocks of kValues f64 each, and their sums over the blocks, in order. Waits for the device.
template <int kValues>
class HostSums {
 public:
  explicit HostSums(Context& ctx)
      : ctx_(ctx), scratch_(ctx), partial_(scratch_.allocate(Shape{kPartials, kValues}, DType::f64)) {}
  double* partial() const { return partial_.as<double>(); }
  std::array<double, kValues> get() const {
    std::array<double, kValues> sums{};
    if (ctx_.planning) return sums;
    std::vector<char> bytes;
    const double* host = on_host(ctx_, partial_, bytes).as<double>();
    for (int64_t i = 0; i < partial_.size(); ++i) sums[static_cast<size_t>(i % kValues)] += host[i];
    return sums;
  }

 private:
  Context& ctx_;
  ScratchScope scratch_;
  Tensor partial_;
};

}  // namespace moe::cuda
