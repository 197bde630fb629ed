#include "core/ops/initialise.h"

#include <algorithm>
#include <vector>

#include "core/tensor/copy.h"
#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

template <class T>
__global__ void fill_constant_kernel(T* x, float value, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(x + i, value);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

void fill_constant(Context& ctx, Tensor x, double value) {
  for_type(x.dtype, [&]<class T>(T) {
    launch(ctx, fill_constant_kernel<T>, blocks_for(x.size(), 256), 256, 0, x.as<T>(), static_cast<float>(value),
           x.size());
  });
}

// Values are drawn on the CPU, piece by piece. The logarithm and cosine used for a normal variate differ in the last
// bit between mathematics libraries, and initial values must not depend on the backend.
template <class Fill>
static void fill_on_host(Context& ctx, Tensor x, Fill fill) {
  if (ctx.planning) return;
  constexpr int64_t kPiece = int64_t{1} << 22;
  std::vector<float> numbers(static_cast<size_t>(std::min(kPiece, x.size())));
  std::vector<BFloat16> rounded;
  Context host;
  const Tensor flat = x.reshape(Shape{x.size()});
  for (int64_t begin = 0; begin < x.size(); begin += kPiece) {
    const int64_t count = std::min(kPiece, x.size() - begin);
    const Tensor piece{numbers.data(), Shape{count}, DType::f32, Device::cpu};
    fill(host, piece, begin);
    Tensor source = piece;
    if (x.dtype == DType::bf16) {
      rounded.resize(numbers.size());
      std::transform(numbers.begin(), numbers.begin() + count, rounded.begin(), to_bfloat16);
      source = {rounded.data(), Shape{count}, DType::bf16, Device::cpu};
    }
    copy_from_host(ctx, flat.slice(begin, count), source);
  }
}

void fill_normal(Context& ctx, Tensor x, double standard_deviation, const RandomKey& key, int64_t first_element) {
  fill_on_host(ctx, x, [&](Context& host, Tensor piece, int64_t begin) {
    moe::fill_normal(host, piece, standard_deviation, key, first_element + begin);
  });
}

void fill_uniform(Context& ctx, Tensor x, double limit, const RandomKey& key, int64_t first_element) {
  fill_on_host(ctx, x, [&](Context& host, Tensor piece, int64_t begin) {
    moe::fill_uniform(host, piece, limit, key, first_element + begin);
  });
}

}  // namespace moe::cuda
