// The activation function of a feed-forward layer, applied to the product of its first matrix.
#pragma once
#include <string>

#include "core/base/words.h"
#include "core/ops/activation_kind.h"
#include "core/tensor/context.h"

namespace moe {

Activation activation_from_name(const std::string& name);  // throws UsageError
template <>
std::vector<std::string> words_of<Activation>();

// z (rows, width_factor * d_ff) -> y (rows, d_ff). With the `offsets` (groups + 1) i32 of grouped rows, rows after the
// last group are not touched: they are unused and may be uninitialised.
void activation_forward(Context& ctx, Tensor y, ConstTensor z, Activation activation, ConstTensor offsets = {});
// d_y (rows, d_ff), z -> d_z (rows, width_factor * d_ff), overwritten; offsets as above
void activation_backward(Context& ctx, Tensor d_z, ConstTensor d_y, ConstTensor z, Activation activation,
                         ConstTensor offsets = {});

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::activation_forward) activation_forward;
decltype(moe::activation_backward) activation_backward;
}  // namespace cuda

}  // namespace moe
