// Sums over tokens that the host needs and that GPU kernels add to. Each has a counterpart in device memory, so that
// adding does not synchronise.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "core/tensor/context.h"

namespace moe {

class DeviceSums {
 public:
  // Without counterparts: ops add to the host sums directly, as on the CPU.
  DeviceSums() = default;
  // Device counterparts of all sums in `host`, which must stay in place: in separate memory, or in `device_copies`
  // (host.size()) f64.
  DeviceSums(Context& ctx, std::span<double> host);
  DeviceSums(Context& ctx, std::span<double> host, Tensor device_copies);

  // The device counterpart of `part`, a range of the host sums (f64), to which kernels add instead. Empty for any other
  // tensor.
  Tensor device_copy(const Tensor& part) const;
  // Adds the values that kernels have accumulated since the last call to the host sums. Synchronises with the device.
  void collect(Context& ctx);
  size_t bytes() const { return device_copies_ ? device_copies_.bytes() : 0; }  // device memory in use

 private:
  std::span<double> host_;
  std::unique_ptr<Arena> memory_;
  Tensor device_copies_;
  std::vector<double> buffer_;
};

// During its lifetime, ctx's ops add to these device counterparts.
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
