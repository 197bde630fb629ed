#include "core/ops/matmul.h"

#include "cuda/device/launch.cuh"
#include "cuda/kernel/vector.cuh"
#include "cuda/kernel/warp.cuh"

namespace moe::cuda {

// Rounds f32 to bf16.
static __global__ void round_kernel(BFloat16* y, const float* x, int64_t n) {
  const int64_t i = thread_in_grid();
  if (i < n) store(y + i, x[i]);
}

// ---- launchers -----------------------------------------------------------------------------------------------------

// The operands' type: bf16 where an operand or the result is bf16. An f32 operand is then rounded for the product:
// gradients of router logits, and weights that no optimizer updates.
static DType product_type(ConstTensor a, ConstTensor b, ConstTensor c) {
  const bool rounds = a.dtype == DType::bf16 || b.dtype == DType::bf16 || c.dtype == DType::bf16;
  return rounds ? DType::bf16 : DType::f32;
}

static ConstTensor as_type(Context& ctx, ScratchScope& scratch, ConstTensor x, DType dtype) {
  if (x.dtype == dtype) return x;
  MOE_CHECK(x.dtype == DType::f32 && dtype == DType::bf16, "{} as {}", name_of(x.dtype), name_of(dtype));
  const Tensor rounded = scratch.allocate(x.shape, DType::bf16);
  launch(ctx, round_kernel, blocks_for(x.size(), 256), 256, 0, rounded.as<BFloat16>(), x.as<float>(), x.size());
  return rounded;
}

void linear_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, Products) {
  const int64_t rows = x.dim(0), in = x.dim(1), out = weight.dim(0);
  const DType type = product_type(x, weight, y);
  ScratchScope scratch(ctx);
  x = as_type(ctx, scratch, x, type);
  weight = as_type(ctx, scratch, weight, type);
  if (ctx.planning) return;
  multiply(ctx.queue->blas(), {.a = x.data,
                               .lda = in,
                               .transpose_a = false,
                               .b = weight.data,
                               .ldb = in,
                               .transpose_b = true,
                               .c = y.data,
                               .ldc = out,
                               .m = rows,
                               .n = out,
                               .k = in,
                               .type = type,
                               .type_c = y.dtype,
                               .accumulate = false});
}

void linear_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, bool accumulate,
                           Products) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = weight.dim(1);
  const DType type = product_type(d_y, weight, d_x);
  ScratchScope scratch(ctx);
  d_y = as_type(ctx, scratch, d_y, type);
  weight = as_type(ctx, scratch, weight, type);
  if (ctx.planning) return;
  multiply(ctx.queue->blas(), {.a = d_y.data,
                               .lda = out,
                               .transpose_a = false,
                               .b = weight.data,
                               .ldb = in,
                               .transpose_b = false,
                               .c = d_x.data,
                               .ldc = in,
                               .m = rows,
                               .n = in,
                               .k = out,
                               .type = type,
                               .type_c = d_x.dtype,
                               .accumulate = accumulate});
}

void linear_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, Products) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = x.dim(1);
  const DType type = product_type(d_y, x, d_weight);
  ScratchScope scratch(ctx);
  d_y = as_type(ctx, scratch, d_y, type);
  x = as_type(ctx, scratch, x, type);
  if (ctx.planning) return;
  multiply(ctx.queue->blas(), {.a = d_y.data,
                               .lda = out,
                               .transpose_a = true,
                               .b = x.data,
                               .ldb = in,
                               .transpose_b = false,
                               .c = d_weight.data,
                               .ldc = in,
                               .m = out,
                               .n = in,
                               .k = rows,
                               .type = type,
                               .type_c = d_weight.dtype,
                               .accumulate = true});
}

}  // namespace moe::cuda
