// AdamW (Loshchilov and Hutter, 2019) in one pass over a buffer of parameters.
#pragma once
#include "core/tensor/context.h"

namespace moe {

struct AdamWStep {
  double learning_rate = 0;
  double beta1 = 0.9, beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0;    // decoupled: w -= learning_rate * weight_decay * w
  double gradient_scale = 1;  // of clipping
  int64_t update = 1;         // counted from 1, for the bias corrections
  bool clear_gradient = true;
};

// weight, first_moment, second_moment (n), updated in place; gradient (n) is set to zero, ready to be added to,
// unless it is to be left alone. bf16 weights come with a `master` (n) f32, which is what is updated; they are its
// rounded values. Everything else is f32 then.
void adamw(Context& ctx, Tensor weight, Tensor first_moment, Tensor second_moment, Tensor gradient,
           const AdamWStep& step, Tensor master = {});

namespace cuda {  // the CUDA implementations; their arguments have been checked
decltype(moe::adamw) adamw;
}  // namespace cuda

}  // namespace moe
