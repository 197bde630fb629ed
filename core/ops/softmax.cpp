#include "core/ops/softmax.h"

#include "core/ops/cpu_kernels.h"
#include "core/ops/dispatch.h"

namespace moe {

void softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_p, ConstTensor p) {
  const int64_t rows = p.dim(0), n = p.dim(1);
  MOE_CHECK_SHAPE(d_z, {rows, n});
  MOE_CHECK_SHAPE(d_p, {rows, n});
  if (on_cuda(ctx)) return cuda::softmax_backward(ctx, d_z, d_p, p);
  run(ctx, p.dtype,
      [&]<class T>(T) { cpu::cpu_kernels<T>().softmax_backward(d_z.as<T>(), d_p.as<T>(), p.as<T>(), rows, n); });
}

void log_softmax_backward(Context& ctx, Tensor d_z, ConstTensor d_log_p, ConstTensor z, ConstTensor logsumexp) {
  const int64_t rows = z.dim(0), n = z.dim(1);
  MOE_CHECK_SHAPE(d_z, {rows, n});
  MOE_CHECK_SHAPE(d_log_p, {rows, n});
  if (on_cuda(ctx)) return cuda::log_softmax_backward(ctx, d_z, d_log_p, z, logsumexp);
  run(ctx, d_z.dtype, [&]<class T>(T) {
    cpu::cpu_kernels<T>().log_softmax_backward(d_z.as<T>(), d_log_p.as<T>(), z.as<T>(), logsumexp.as<T>(), rows, n);
  });
}

}  // namespace moe
