// Tensors between host and device. With a CPU context "the device" is the host.
#pragma once
#include <vector>

#include "core/tensor/context.h"

namespace moe {

// x where ctx's ops can use it: itself, or a copy in the activations arena. Nothing is copied while planning.
ConstTensor to_device(Context& ctx, ConstTensor x);

// host <- x; both contiguous, of equal size and dtype, x on either side. Waits for the work before it.
void copy_to_host(Context& ctx, Tensor host, ConstTensor x);
// x <- host
void copy_from_host(Context& ctx, Tensor x, ConstTensor host);

// Appends the elements of x, of f32, bf16 or f64 and on either side, to `list`.
void append_floats(Context& ctx, std::vector<float>& list, ConstTensor x);

// A tensor's bytes on the host: the tensor's own memory, or a copy in `buffer`.
ConstTensor on_host(Context& ctx, ConstTensor x, std::vector<char>& buffer);

// A tensor where ctx's ops can use it: itself, or a copy in `scratch`.
ConstTensor on_device(Context& ctx, ScratchScope& scratch, ConstTensor x);

}  // namespace moe
