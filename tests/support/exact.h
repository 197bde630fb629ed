// An op beside itself on the CPU in f64, which the gradient checks prove.
#pragma once
#include <vector>

#include "tests/support/compare.h"
#include "tests/support/test_context.h"

namespace moe::test {

// The CPU's f64 context, and tensors of the device's as they are there.
struct Exact : TestContext {
  Exact() : TestContext(DType::f64, Device::cpu) {}
  Tensor operator()(ConstTensor x) {
    const Tensor y = output(x.shape, x.dtype == DType::i32 ? DType::i32 : DType::f64);
    for (int64_t i = 0; i < x.size(); ++i) set(y, i, get(x, i));
    return y;
  }
};

// bf16 results have a rounding error of the size of what was added up, not of the result.
inline Tolerance tolerance(const TestContext& ctx) {
  return ctx.dtype == DType::bf16 ? Tolerance{2e-2, 1e-2} : Tolerance{2e-5, 1e-5};
}

// What a device computes in, but for the f64 that it is compared with.
inline std::vector<DType> device_dtypes() {
  return on_cpu() ? std::vector{DType::f32} : std::vector{DType::f32, DType::bf16};
}

}  // namespace moe::test
