#include "core/ops/matmul.h"

#include "core/ops/dispatch.h"
#include "core/ops/gemm/gemm.h"

namespace moe {

using cpu::GemmProblem;
using cpu::Transpose;

void linear_forward(Context& ctx, Tensor y, ConstTensor x, ConstTensor weight) {
  const int64_t rows = x.dim(0), in = x.dim(1), out = weight.dim(0);
  MOE_CHECK_SHAPE(weight, {out, in});
  MOE_CHECK_SHAPE(y, {rows, out});
  if (on_cuda(ctx)) return cuda::linear_forward(ctx, y, x, weight);
  run(ctx, x.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{x.as<T>(), in, Transpose::no, weight.as<T>(), in, Transpose::yes, y.as<T>(), out, rows,
                                 out,       in};
    cpu::gemm_batch<T>({&problem, 1});
  });
}

void linear_backward_input(Context& ctx, Tensor d_x, ConstTensor d_y, ConstTensor weight, bool accumulate) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = weight.dim(1);
  MOE_CHECK_SHAPE(weight, {out, in});
  MOE_CHECK_SHAPE(d_x, {rows, in});
  if (on_cuda(ctx)) return cuda::linear_backward_input(ctx, d_x, d_y, weight, accumulate);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{
        d_y.as<T>(), out, Transpose::no, weight.as<T>(), in,        Transpose::no, d_x.as<T>(), in,
        rows,        in,  out,           T(1),           accumulate};
    cpu::gemm_batch<T>({&problem, 1});
  });
}

void linear_backward_weight(Context& ctx, Tensor d_weight, ConstTensor d_y, ConstTensor x) {
  const int64_t rows = d_y.dim(0), out = d_y.dim(1), in = x.dim(1);
  MOE_CHECK_SHAPE(x, {rows, in});
  MOE_CHECK_SHAPE(d_weight, {out, in});
  if (on_cuda(ctx)) return cuda::linear_backward_weight(ctx, d_weight, d_y, x);
  run(ctx, d_y.dtype, [&]<class T>(T) {
    const GemmProblem<T> problem{d_y.as<T>(), out, Transpose::yes, x.as<T>(), in,  Transpose::no, d_weight.as<T>(), in,
                                 out,         in,  rows,           T(1),      true};
    cpu::gemm_batch<T>({&problem, 1});
  });
}

}  // namespace moe
