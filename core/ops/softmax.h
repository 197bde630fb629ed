// Gradients of a softmax along the rows.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// d_p (rows, n), p = softmax(z) -> d_z (rows, n), added to
void softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_p, ConstTensor p);

// d_log_p (rows, n) of ln softmax(z) -> d_z (rows, n), added to. logsumexp (rows): of z
void log_softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_log_p, ConstTensor z, ConstTensor logsumexp);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::softmax_backward) softmax_backward;
decltype(moe::log_softmax_backward) log_softmax_backward;
}  // namespace cuda

}  // namespace moe
