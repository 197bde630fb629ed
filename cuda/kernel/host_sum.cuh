// Sums of the partial sums of a kernel's blocks, made on the host or for it. This is how numbers leave the device.
#pragma once
#include <algorithm>
#include <array>
#include <initializer_list>
#include <vector>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/ops/elementwise.h"
#include "core/tensor/copy.h"
#include "core/tensor/device_sums.h"
#include "cuda/kernel/block.cuh"
#include "cuda/kernel/ptx.cuh"
#include "cuda/kernel/reduce.cuh"

namespace moe::cuda {

// Memory for kValues f64 per block, and their sums over `blocks` blocks, in order. get() synchronises with the device.
template <int kValues>
class HostSums {
 public:
  explicit HostSums(Context& ctx, int64_t blocks = kPartials)
      : ctx_(ctx), scratch_(ctx), partial_(scratch_.allocate(Shape{blocks, kValues}, DType::f64)) {}
  double* partial() const { return partial_.as<double>(); }
  std::array<double, kValues> get() const {
    std::array<double, kValues> sums{};
    if (ctx_.planning) return sums;
    std::vector<char> bytes;
    const double* host = on_host(ctx_, partial_, bytes).as<double>();
    for (int64_t i = 0; i < partial_.size(); ++i) sums[as_index(i % kValues)] += host[i];
    return sums;
  }

 private:
  Context& ctx_;
  ScratchScope scratch_;
  Tensor partial_;
};

// term(token) is called by a whole warp; each lane returns its part of the term in f64. One warp per token, strided
// over the grid; a lane adds up its parts, a block adds its warps in order.
template <class Term>
__global__ void token_sum_kernel(double* partial, const int32_t* targets, int64_t tokens, Term term) {
  double* slots = &shared_memory<double>();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  double sum = 0;
  for (int64_t t = int64_t{blockIdx.x} * warps + warp_index(); t < tokens; t += int64_t{gridDim.x} * warps) {
    if (targets[t] != kIgnoreTarget) sum += term(t);
  }
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// partial (partials, stride): its first columns are the partial sums of the first tensor of `sums`, the next columns
// those of the second, and so on. The tensors are f64 on the host or the device; the sums are added to them. A host
// tensor with a device copy is complete when ctx.sums has been collected; for other host tensors this synchronises
// once.
inline void add_to_sums(Context& ctx, std::initializer_list<Tensor> sums, const double* partial, int64_t stride,
                        int partials) {
  ScratchScope scratch(ctx);
  int64_t columns = 0;
  for (const Tensor& tensor : sums) columns += tensor.size();
  Tensor total;  // of all tensors of `sums`, for the host
  std::vector<char> bytes;
  const double* host = nullptr;
  int64_t begin = 0;
  for (const Tensor& tensor : sums) {
    const int64_t n = tensor.size();
    const Tensor target = tensor.device == Device::cuda ? tensor : ctx.sums ? ctx.sums->device_copy(tensor) : Tensor{};
    if (target) {
      add_partials(ctx, target.as<double>(), partial + begin, n, stride, partials);
    } else {
      if (!total) {
        total = scratch.allocate(Shape{columns}, DType::f64);
        moe::fill_zero(ctx, total);
        add_partials(ctx, total.as<double>(), partial, columns, stride, partials);
        if (!ctx.planning) host = on_host(ctx, total, bytes).as<double>();
      }
      for (int64_t i = 0; i < n && host; ++i) tensor.as<double>()[i] += host[begin + i];
    }
    begin += n;
  }
}

// Adds term(token) of all tokens that are not padding to `sum` (1), as add_to_sums() does.
template <class Term>
void sum_over_tokens(Context& ctx, Tensor sum, ConstTensor targets, Term term) {
  constexpr int kThreads = 256;
  ScratchScope scratch(ctx);
  const int64_t tokens = targets.size();
  const int blocks = partials_for(tokens, kThreads / kWarp);
  double* partial = scratch.allocate(Shape{blocks}, DType::f64).as<double>();
  launch(ctx, token_sum_kernel<Term>, dim3(static_cast<unsigned>(blocks)), kThreads, 32 * sizeof(double), partial,
         targets.as<int32_t>(), tokens, term);
  add_to_sums(ctx, {sum}, partial, 1, blocks);
}

}  // namespace moe::cuda
