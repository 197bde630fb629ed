#include "core/tensor/compute_parts.h"

#include <chrono>
#include <thread>

namespace moe {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

static double now() {
  return Seconds(Clock::now().time_since_epoch()).count();
}

// Ops in a step that is planned check their arguments and compute nothing, which is what a part that is replaced needs.
void ComputeScope::begin() {
  ComputeParts& parts = *ctx_->compute;
  if (parts.inside_) {
    ctx_ = nullptr;
    return;
  }
  parts.inside_ = true;
  ctx_->planning = parts.replaces_;
  start_ = now();
}

void ComputeScope::end() {
  ComputeParts& parts = *ctx_->compute;
  parts.inside_ = ctx_->planning = false;
  const double wanted = parts.seconds_per_row(part_, direction_) * static_cast<double>(rows_);
  if (const double left = start_ + wanted - now(); parts.replaces_ && left > 0) {
    std::this_thread::sleep_for(Seconds(left));
  }
  ComputeParts::Work& work = parts.work(part_, direction_);
  work.seconds += now() - start_;
  work.rows += static_cast<double>(rows_);
}

}  // namespace moe
