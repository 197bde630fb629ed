// Compares an explicit backward with central differences, in f64.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace moe::test {

// An input or parameter, and the derivative of the loss with respect to it by backward.
struct Differentiable {
  std::string name;
  Tensor value;
  ConstTensor gradient;
  bool may_vanish = false;  // otherwise a gradient that is zero everywhere fails, because nothing would have been
                            // tested
};

struct GradientOptions {
  int64_t samples = 24;     // elements per tensor; a smaller tensor is checked completely
  double step = 1e-4;       // the quotient uses four points, so its error is of the order of step^4
  double tolerance = 1e-7;  // relative to the larger of the element and the tensor's root mean square
};

// `loss` runs forward on the present values; it must leave all values unchanged.
void check_gradients(const std::function<double()>& loss, const std::vector<Differentiable>& tensors,
                     GradientOptions options = {});

}  // namespace moe::test
