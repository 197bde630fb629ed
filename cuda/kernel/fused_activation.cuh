// An activation as a part of the product that it follows.
#pragma once
#include <type_traits>

#include "cuda/kernel/activation.cuh"

namespace moe::cuda {

// Those of Activation, and none.
enum class Fused {
  none = -1,
  relu = static_cast<int>(Activation::relu),
  gelu = static_cast<int>(Activation::gelu),
  swiglu = static_cast<int>(Activation::swiglu),
};

// Of none, anything.
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
