// Small ops over whole tensors.
#pragma once
#include <span>

#include "core/tensor/context.h"

namespace moe {

void fill_zero(Context& ctx, Tensor x);
void copy(Context& ctx, Tensor y, ConstTensor x);                       // y = x
void add(Context& ctx, Tensor y, ConstTensor a, ConstTensor b);         // y = a + b; y may be a or b
void add_scaled(Context& ctx, Tensor y, ConstTensor x, double factor);  // y += factor x
void scale(Context& ctx, Tensor x, double factor);                      // x *= factor
void convert(Context& ctx, Tensor y, ConstTensor x);                    // y = x, rounded to y's dtype
void complement(Context& ctx, Tensor y, ConstTensor x);                 // y = 1 - x
void tanh_forward(Context& ctx, Tensor y, ConstTensor x);               // y = tanh x; y may be x
// d_y, y = tanh x -> d_x = d_y (1 - y^2), overwritten; d_x may be d_y
void tanh_backward(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor y);
// y (rows, d) += factors (rows) * x (rows, d), row by row
void add_scaled_rows(Context& ctx, Tensor y, ConstTensor x, ConstTensor factors);
// a (rows, d), b (rows, d) -> dots (rows): inner products of their rows
void row_dots(Context& ctx, Tensor dots, ConstTensor a, ConstTensor b);

// Sum of all elements, in f64, in order.
double sum_of_elements(Context& ctx, ConstTensor x);
// Sum of squares of all elements, in f64, in a fixed order: the sums of blocks of kSquaresBlock elements, in order.
inline constexpr int64_t kSquaresBlock = 16384;
double sum_of_squares(Context& ctx, ConstTensor x);
// On the CPU: the sums of these blocks of x: blocks[i] of x[i * kSquaresBlock, ...), as many as x has, the last one may
// be shorter.
void sums_of_squares(Context& ctx, ConstTensor x, std::span<double> blocks);

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::fill_zero) fill_zero;
decltype(moe::copy) copy;
decltype(moe::add) add;
decltype(moe::add_scaled) add_scaled;
decltype(moe::scale) scale;
decltype(moe::add_scaled_rows) add_scaled_rows;
decltype(moe::row_dots) row_dots;
decltype(moe::convert) convert;
decltype(moe::complement) complement;
decltype(moe::tanh_forward) tanh_forward;
decltype(moe::tanh_backward) tanh_backward;
decltype(moe::sum_of_elements) sum_of_elements;
decltype(moe::sum_of_squares) sum_of_squares;
}  // namespace cuda

}  // namespace moe
