// Central differences against an explicit backward, in f64.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/tensor/tensor.h"

namespace moe::test {

// An input or parameter, and what backward says is the derivative of the loss by it.
struct Differentiable {
  std::string name;
  Tensor value;
  ConstTensor gradient;
  bool may_vanish = false;  // otherwise a gradient that is zero everywhere fails: nothing would have been tested
};

struct GradientOptions {
  int64_t samples = 24;     // elements per tensor; all of a smaller one
  double step = 1e-4;       // the quotient takes four points: its error is of the order of step^4
  double tolerance = 1e-7;  // relative to the larger of the element and the tensor's root mean square
};

// `loss` runs forward on the present values; it must leave every value as it was.
void check_gradients(const std::function<double()>& loss, const std::vector<Differentiable>& tensors,
                     GradientOptions options = {});

}  // namespace moe::test
