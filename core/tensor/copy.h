// Copies tensors between host and device. With a CPU context the device is the host.
#pragma once
#include <vector>

#include "core/tensor/context.h"

namespace moe {

// Returns x in memory that ctx's ops can use: x itself, or a copy in the activations arena. Nothing is copied while
// planning.
ConstTensor to_device(Context& ctx, ConstTensor x);

// host <- x, both contiguous and of equal size and dtype; x may be on host or device. Waits for previously queued work.
void copy_to_host(Context& ctx, Tensor host, ConstTensor x);
// x <- host
void copy_from_host(Context& ctx, Tensor x, ConstTensor host);

// Appends the elements of x (f32, bf16 or f64, on host or device) to `list`.
void append_floats(Context& ctx, std::vector<float>& list, ConstTensor x);
// The same for i32.
void append_integers(Context& ctx, std::vector<int32_t>& list, ConstTensor x);

// The tensor in host memory: x itself, or a copy in `buffer`.
ConstTensor on_host(Context& ctx, ConstTensor x, std::vector<char>& buffer);

// The tensor in memory that ctx's ops can use: x itself, or a copy in `scratch`.
ConstTensor on_device(Context& ctx, ScratchScope& scratch, ConstTensor x);

}  // namespace moe
