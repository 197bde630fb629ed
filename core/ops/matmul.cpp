#include "core/ops/matmul.h"

#include "core/ops/dispatch.h"
#include "core/ops/gemm.h"
#include "core/ops/packed_weights.h"

namespace moe {

using cpu::GemmProblem;
using cpu::Transpose;

void linear_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight, Products products) {
  const int64_t rows = x.dim(0), in = x.dim(1), out = weight.dim(0);
  MOE_CHECK_SHAPE(weight, {out, in});
  MOE_CHECK_SHAPE(y, {rows, out});
  if (on_cuda(ctx)) return cuda::linear_forward(ctx, y, x, weight, products);
  const uint16_t* const packed = PackedWeights::of(ctx, weight, Transpose::yes, products);
  run(ctx, x.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{.a = x.as<T>(),
                                 .lda = in,
                                 .transpose_a = Transpose::no,
                                 .b = weight.as<T>(),
                                 .ldb = in,
                                 .transpose_b = Transpose::yes,
                                 .c = y.as<T>(),
                                 .ldc = out,
                                 .m = rows,
                                 .n = out,
                                 .k = in,
                                 .packed_b = packed};
    cpu::gemm_batch<T>({&problem, 1}, products);
  });
}

void linear_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, bool accumulate,
                           Products products) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = weight.dim(1);
  MOE_CHECK_SHAPE(weight, {out, in});
  MOE_CHECK_SHAPE(d_x, {rows, in});
  if (on_cuda(ctx)) return cuda::linear_backward_input(ctx, d_x, d_y, weight, accumulate, products);
  const uint16_t* const packed = PackedWeights::of(ctx, weight, Transpose::no, products);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{.a = d_y.as<T>(),
                                 .lda = out,
                                 .transpose_a = Transpose::no,
                                 .b = weight.as<T>(),
                                 .ldb = in,
                                 .transpose_b = Transpose::no,
                                 .c = d_x.as<T>(),
                                 .ldc = in,
                                 .m = rows,
                                 .n = in,
                                 .k = out,
                                 .alpha = T(1),
                                 .accumulate = accumulate,
                                 .packed_b = packed};
    cpu::gemm_batch<T>({&problem, 1}, products);
  });
}

void linear_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x, Products products) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = x.dim(1);
  MOE_CHECK_SHAPE(x, {rows, in});
  MOE_CHECK_SHAPE(d_weight, {out, in});
  if (on_cuda(ctx)) return cuda::linear_backward_weight(ctx, d_weight, d_y, x, products);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{.a = d_y.as<T>(),
                                 .lda = out,
                                 .transpose_a = Transpose::yes,
                                 .b = x.as<T>(),
                                 .ldb = in,
                                 .transpose_b = Transpose::no,
                                 .c = d_weight.as<T>(),
                                 .ldc = in,
                                 .m = out,
                                 .n = in,
                                 .k = rows,
                                 .alpha = T(1),
                                 .accumulate = true};
    cpu::gemm_batch<T>({&problem, 1}, products);
  });
}

}  // namespace moe
