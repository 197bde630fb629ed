// Temporarily closes experts of a loaded model, so that they get no tokens.
#pragma once
#include <vector>

#include "core/reload/load_run.h"

namespace moe {

// Keeps the masks of Router::close_experts on the model's device, and opens the layers it closed on destruction.
class ClosedExperts {
 public:
  // `most`: entries of a layer's mask.
  ClosedExperts(LoadedRun& run, int64_t most);
  ~ClosedExperts();
  ClosedExperts(const ClosedExperts&) = delete;
  ClosedExperts& operator=(const ClosedExperts&) = delete;

  // closed: on the host, in the form of Router::close_experts.
  void close(MoELayer& layer, ConstTensor closed);

 private:
  LoadedRun& run_;
  Arena masks_;
  std::vector<MoELayer*> layers_;
};

}  // namespace moe
