// Sums over tokens that the host needs, and that a GPU's kernels add to: for each there is a twin in the GPU's memory,
// so that nobody waits when something is added.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "core/tensor/context.h"

namespace moe {

class DeviceSums {
 public:
  // None: ops add to the sums themselves, as on the CPU.
  DeviceSums() = default;
  // Twins of all of `host`, which stays where it is: in memory of their own, or in `twins` (host.size()) f64.
  DeviceSums(Context& ctx, std::span<double> host);
  DeviceSums(Context& ctx, std::span<double> host, Tensor twins);

  // Of `part`, some of the host's sums (f64): what kernels add to instead. None for any other tensor.
  Tensor twin(const Tensor& part) const;
  // Adds to the host's sums what kernels have added to the twins since it was last called. Waits for the device.
  void collect(Context& ctx);
  size_t bytes() const { return twins_ ? twins_.bytes() : 0; }  // on the device

 private:
  std::span<double> host_;
  std::unique_ptr<Arena> memory_;
  Tensor twins_;
  std::vector<double> buffer_;
};

// While it lives, ctx's ops add to these twins.
class SumsScope {
 public:
  SumsScope(Context& ctx, const DeviceSums& sums) : ctx_(ctx), before_(ctx.sums) { ctx.sums = &sums; }
  ~SumsScope() { ctx_.sums = before_; }
  SumsScope(const SumsScope&) = delete;
  SumsScope& operator=(const SumsScope&) = delete;

 private:
  Context& ctx_;
  const DeviceSums* before_;
};

}  // namespace moe
