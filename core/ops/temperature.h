// Divides logits by a learned temperature.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// z (tokens, n) /= max(temperature (1), floor), in place
void temperature_forward(Context& ctx, Tensor z, ConstTensor temperature, double floor);
// d_z (tokens, n): gradient of the divided logits on entry, of the logits on return; d_temperature (1), added to. z:
// the divided logits; infinite ones (dropped experts) are ignored. At the floor the gradient still reaches the
// temperature, which otherwise could never leave the floor.
void temperature_backward(Context& ctx, Tensor d_z, Tensor d_temperature, ConstTensor z, ConstTensor temperature,
                          double floor);
// Returns max(temperature (1), floor) for reports.
double temperature_value(Context& ctx, ConstTensor temperature, double floor);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::temperature_forward) temperature_forward;
decltype(moe::temperature_backward) temperature_backward;
decltype(moe::temperature_value) temperature_value;
}  // namespace cuda

}  // namespace moe
