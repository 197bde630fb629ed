// The losses of a batch's predictions. Each belongs to one or several consecutive tokens.
#pragma once
#include "core/tensor/tensor.h"

namespace moe {

struct PredictionLosses {
  ConstTensor losses{};   // (predictions) wide: -ln p of the target
  ConstTensor targets{};  // (predictions) i32: kIgnoreTarget for a prediction without a loss
  int64_t tokens = 1;     // of a prediction
  // (tokens / tokens_of_weight) wide, or none: weights of the losses in the objective.
  ConstTensor weights{};
  int64_t tokens_of_weight = 1;

  explicit operator bool() const { return static_cast<bool>(losses); }
};

}  // namespace moe
