// An activation that is fused into the preceding matrix product.
#pragma once
#include <type_traits>

#include "cuda/kernel/activation.cuh"

namespace moe::cuda {

// The values of Activation, and `none`.
enum class Fused {
  none = -1,
  relu = static_cast<int>(Activation::relu),
  gelu_tanh = static_cast<int>(Activation::gelu_tanh),
  gelu_erf = static_cast<int>(Activation::gelu_erf),
  swiglu = static_cast<int>(Activation::swiglu),
};

// An arbitrary activation for Fused::none.
template <Fused kFused>
inline constexpr Activation kActivationOf = static_cast<Activation>(kFused == Fused::none ? 0
                                                                                          : static_cast<int>(kFused));

// Calls body(std::integral_constant<Fused, F>{}).
template <class Body>
void for_fused(Activation activation, Body body) {
  for_activation(activation, [&]<Activation kActivation>(std::integral_constant<Activation, kActivation>) {
    body(std::integral_constant<Fused, static_cast<Fused>(kActivation)>{});
  });
}

}  // namespace moe::cuda
