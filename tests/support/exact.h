// An op together with the same op on the CPU in f64, which the gradient checks verify.
#pragma once
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

// The CPU's f64 context, and copies of the device's tensors in it.
struct Exact : TestContext {
  Exact() : TestContext(DType::f64, Device::cpu) {}
  Tensor operator()(ConstTensor x) {
    const Tensor y = output(x.shape, x.dtype == DType::i32 ? DType::i32 : DType::f64);
    for (int64_t i = 0; i < x.size(); ++i) set(y, i, get(x, i));
    return y;
  }
};

// bf16 results have a rounding error proportional to the summands, not to the result.
inline Tolerance tolerance(const TestContext& ctx) {
  return ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : Tolerance{2e-5, 1e-5};
}

// The types that a device computes in, without the f64 that it is compared with.
inline std::vector<DType> device_dtypes() {
  return on_cpu() ? std::vector{DType::f32} : std::vector{DType::f32, DType::bf16};
}

}  // namespace moe::test
