// An activation as a part of the product that it follows.
#pragma once
#include "cuda/kernel/activation.cuh"

namespace moe::cuda {

enum class Fused { none, relu, gelu, swiglu };

// As Activation; of none, anything.
template <Fused kFused>
inline constexpr Activation kActivationOf = kFused == Fused::swiglu ? Activation::swiglu
                                            : kFused == Fused::gelu ? Activation::gelu
                                                                    : Activation::relu;

// Calls body(integral_constant<Fused>).
template <class Body>
void for_fused(Activation activation, Body body) {
  switch (activation) {
    case Activation::relu:
      return body(std::integral_constant<Fused, Fused::relu>{});
    case Activation::gelu:
      return body(std::integral_constant<Fused, Fused::gelu>{});
    case Activation::swiglu:
      return body(std::integral_constant<Fused, Fused::swiglu>{});
  }
}

}  // namespace moe::cuda
