#include "core/ops/dispatch.h"

#include "core/tensor/device.h"

namespace moe {

bool runs_on_host(const Context& ctx) {
  if (ctx.planning) {
    if (ctx.needs_host) *ctx.needs_host = true;
    return false;
  }
  if (!ctx.managed) {
    throw DeviceError(
        "an op of this model has no CUDA implementation, and the host cannot access its tensors; use device: cpu");
  }
  cuda::synchronise(*ctx.queue);
  return true;
}

}  // namespace moe
