// From an op's checked arguments to its implementation: one place that knows devices, dtypes and planning.
#pragma once
#include "core/tensor/context.h"

namespace moe {

#define MOE_CHECK_SHAPE(tensor, ...)                                                        \
  MOE_CHECK((tensor).shape == (::moe::Shape __VA_ARGS__), "{} is {}, expected {}", #tensor, \
            (tensor).shape.to_string(), (::moe::Shape __VA_ARGS__).to_string())
#define MOE_CHECK_DTYPE(tensor, expected)                                                                   \
  MOE_CHECK((tensor).dtype == (expected), "{} is {}, expected {}", #tensor, ::moe::name_of((tensor).dtype), \
            ::moe::name_of(expected))

// An op checks its arguments and then says
//   if (on_cuda(ctx)) return cuda::the_op(arguments);
// The twin is called while planning too: it launches nothing then, but takes the scratch memory that it will need.
inline bool on_cuda(const Context& ctx) {
  return ctx.device == Device::cuda;
}

// Calls on_cpu(T{}) with the C++ type of `dtype`, unless the step is only being planned.
template <class OnCpu>
void run(const Context& ctx, DType dtype, OnCpu&& on_cpu) {
  if (ctx.planning) return;
  if (on_cuda(ctx)) throw DeviceError("an op of this model has no CUDA version yet; use device: cpu");
  switch (dtype) {
    case DType::f32:
      on_cpu(float{});
      return;
    case DType::f64:
      on_cpu(double{});
      return;
    default:
      raise<InternalError>("no CPU implementation for {}", name_of(dtype));
  }
}

}  // namespace moe
