// Selects an op's implementation after its arguments have been checked, by device, dtype and planning.
#pragma once
#include "core/tensor/context.h"

namespace moe {

#define MOE_CHECK_SHAPE(tensor, ...)                                                        \
  MOE_CHECK((tensor).shape == (::moe::Shape __VA_ARGS__), "{} is {}, expected {}", #tensor, \
            (tensor).shape.to_string(), (::moe::Shape __VA_ARGS__).to_string())
#define MOE_CHECK_DTYPE(tensor, expected)                                                                   \
  MOE_CHECK((tensor).dtype == (expected), "{} is {}, expected {}", #tensor, ::moe::name_of((tensor).dtype), \
            ::moe::name_of(expected))

// An op checks its arguments and then calls
//   if (on_cuda(ctx)) return cuda::the_op(arguments);
// The CUDA implementation is called while planning too. It then launches nothing but allocates the scratch memory that
// it will need.
inline bool on_cuda(const Context& ctx) {
  return ctx.device == Device::cuda;
}

// For an op without a CUDA implementation: whether its CPU implementation must run on the host over the device's
// managed memory. Synchronises with the device first, so this is slow but correct. Throws DeviceError when the host
// cannot access the tensors.
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
      if (!on_cuda(ctx)) raise<InternalError>("there is no CPU implementation for dtype {}", name_of(dtype));
      throw DeviceError(
          "an op of this model has no CUDA implementation and runs on the CPU, which needs precision: f32");
  }
}

}  // namespace moe
