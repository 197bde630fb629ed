#include "core/reload/closed_experts.h"

#include "core/tensor/copy.h"

namespace moe {

static size_t mask_bytes(const LoadedRun& run, int64_t most) {
  return run.state->model->moe_layers().size() * (sizeof(int32_t) * static_cast<size_t>(most) + 64) + 64;
}

ClosedExperts::ClosedExperts(LoadedRun& run, int64_t most)
    : run_(run), masks_("closed experts", run.device.device, mask_bytes(run, most)) {}

ClosedExperts::~ClosedExperts() {
  for (MoELayer* layer : layers_) layer->close_experts({});
}

void ClosedExperts::close(MoELayer& layer, ConstTensor closed) {
  const Tensor mask = masks_.allocate(closed.shape, DType::i32);
  copy_from_host(run_.state->ctx, mask, closed);
  layer.close_experts(mask);
  layers_.push_back(&layer);
}

}  // namespace moe
