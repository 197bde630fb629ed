// Initial values of parameters. They are functions of (seed, parameter, element) and independent of the rank layout.
#pragma once
#include "core/tensor/context.h"

namespace moe {

void fill_constant(Context& ctx, Tensor x, double value);
// Element i is drawn from `key` at element first_element + i.
void fill_normal(Context& ctx, Tensor x, double standard_deviation, const RandomKey& key, int64_t first_element = 0);
void fill_uniform(Context& ctx, Tensor x, double limit, const RandomKey& key,
                  int64_t first_element = 0);  // [-limit, limit)

namespace cuda {  // CUDA implementations; the arguments have been checked
decltype(moe::fill_constant) fill_constant;
decltype(moe::fill_normal) fill_normal;
decltype(moe::fill_uniform) fill_uniform;
}  // namespace cuda

}  // namespace moe
