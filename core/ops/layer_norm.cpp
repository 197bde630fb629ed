#include "core/ops/layer_norm.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

void layer_norm_forward(Context& ctx, Tensor y, Tensor statistics, ConstTensor x, ConstTensor weight, ConstTensor bias,
                        double eps) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(y, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(bias, {d});
  MOE_CHECK_SHAPE(statistics, {rows, 2});
  if (on_cuda(ctx)) return cuda::layer_norm_forward(ctx, y, statistics, x, weight, bias, eps);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().layer_norm_forward(y.as<T>(), statistics.as<T>(), x.as<T>(), weight.as<T>(), bias.as<T>(),
                                             rows, d, static_cast<T>(eps));
  });
}

void layer_norm_backward(Context& ctx, Tensor d_x, Tensor d_weight, Tensor d_bias, ConstTensor d_y, ConstTensor x,
                         ConstTensor weight, ConstTensor statistics, bool accumulate) {
  const int64_t rows = x.dim(0), d = x.dim(1);
  MOE_CHECK_SHAPE(d_y, {rows, d});
  MOE_CHECK_SHAPE(d_x, {rows, d});
  MOE_CHECK_SHAPE(weight, {d});
  MOE_CHECK_SHAPE(d_weight, {d});
  MOE_CHECK_SHAPE(d_bias, {d});
  MOE_CHECK_SHAPE(statistics, {rows, 2});
  if (on_cuda(ctx))
    return cuda::layer_norm_backward(ctx, d_x, d_weight, d_bias, d_y, x, weight, statistics, accumulate);
  run(ctx, x.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().layer_norm_backward_parameters(d_weight.as<T>(), d_bias.as<T>(), d_y.as<T>(), x.as<T>(),
                                                         statistics.as<T>(), rows, d);
    cpu::cpu_kernels<T>().layer_norm_backward_input(d_x.as<T>(), d_y.as<T>(), x.as<T>(), weight.as<T>(),
                                                    statistics.as<T>(), rows, d, accumulate);
  });
}

}  // namespace moe
