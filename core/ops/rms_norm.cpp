#include "core/ops/rms_norm.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

void rms_norm_forward(Context& ctx, Tensor y, Tensor inverse_rms, ConstTensor x, ConstTensor weight, double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(inverse_rms, {rows});
  if (on_cuda(ctx)) return cuda::rms_norm_forward(ctx, y, inverse_rms, x, weight, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().rms_norm_forward(y.as<T>(), inverse_rms.as<T>(), x.as<T>(), weight.as<T>(), rows, d,
                                           static_cast<T>(eps));
  });
}

void rms_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, ConstTensor d_y, ConstTensor x, ConstTensor weight,
                       ConstTensor inverse_rms, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(d_weight, {d});
  MOE_CHECK_SHAPE(inverse_rms, {rows});
  if (on_cuda(ctx)) return cuda::rms_norm_backward(ctx, d_x, d_weight, d_y, x, weight, inverse_rms, accumulate);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().rms_norm_backward_weight(d_weight.as<T>(), d_y.as<T>(), x.as<T>(), inverse_rms.as<T>(), rows,
                                                   d);
    cpu::cpu_kernels<T>().rms_norm_backward_input(d_x.as<T>(), d_y.as<T>(), x.as<T>(), weight.as<T>(),
                                                  inverse_rms.as<T>(), rows, d, accumulate);
  });
}

}  // namespace moe
