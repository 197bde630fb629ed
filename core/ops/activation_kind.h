// The kinds of activation functions of feed-forward layers.
#pragma once
#include <cstdint>

namespace moe {

// gelu_erf = x Phi(x) with the normal distribution function Phi, gelu_tanh = its approximation by a tanh (both
// Hendrycks and Gimpel, 2016); swiglu = silu(gate) * up (Shazeer, 2020).
enum class Activation { relu, gelu_tanh, gelu_erf, swiglu };

// Columns of the first product per column of the result: 2 for gated activations (gate columns first, then up), else 1.
constexpr int64_t width_factor(Activation a) {
  return a == Activation::swiglu ? 2 : 1;
}

}  // namespace moe
