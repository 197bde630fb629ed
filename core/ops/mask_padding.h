// Marks what belongs to padding.
#pragma once
#include "core/tensor/context.h"

namespace moe {

// ids (tokens) i32, in place: set to kIgnoreTarget where the target (tokens) i32 is kIgnoreTarget
void mask_padding(Context& ctx, Tensor ids, ConstTensor targets);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::mask_padding) mask_padding;
}  // namespace cuda

}  // namespace moe
