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

// For the CPU's version of an op that has no twin yet: whether it is to run, on the host, over a device's managed
// memory, once the device's work is done. Slow, but right. Throws DeviceError when the host cannot reach the tensors.
bool runs_on_host(const Context& ctx);

// Calls on_cpu(T{}) with the C++ type of `dtype`, unless the step is only being planned.
template <class OnCpu>
void run(const Context& ctx, DType dtype, OnCpu&& on_cpu) {
  if (on_cuda(ctx) && !runs_on_host(ctx)) return;
  if (ctx.planning) return;
  switch (dtype) {
    case DType::f32:
      on_cpu(float{});
      return;
    case DType::f64:
      on_cpu(double{});
      return;
    default:
      if (!on_cuda(ctx)) raise<InternalError>("no CPU implementation for {}", name_of(dtype));
      throw DeviceError("an op of this model has no CUDA version yet and runs on the CPU; that needs precision: f32");
  }
}

}  // namespace moe
