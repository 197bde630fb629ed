// Experts of a loaded model that get no tokens for a while.
#pragma once
#include <vector>

#include "core/reload/load_run.h"

namespace moe {

// Keeps the masks of Router::close_experts where the model is, and opens the layers that it closed at the end.
class ClosedExperts {
 public:
  // `most`: entries of a layer's mask.
  ClosedExperts(LoadedRun& run, int64_t most);
  ~ClosedExperts();
  ClosedExperts(const ClosedExperts&) = delete;
  ClosedExperts& operator=(const ClosedExperts&) = delete;

  // closed: on the host, as for Router::close_experts.
  void close(MoELayer& layer, ConstTensor closed);

 private:
  LoadedRun& run_;
  Arena masks_;
  std::vector<MoELayer*> layers_;
};

}  // namespace moe
