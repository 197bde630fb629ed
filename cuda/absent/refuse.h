// The error of a build without CUDA when a device is requested.
#pragma once
#include "core/base/error.h"
#include "core/tensor/context.h"

namespace moe::cuda {

inline constexpr const char* kNoCuda = "this program was built without CUDA";

[[noreturn]] inline void refuse() {
  throw DeviceError(kNoCuda);
}

// The CUDA implementation of every op in such a build: it only accepts planning.
inline void absent(const Context& ctx) {
  if (!ctx.planning) refuse();
}

}  // namespace moe::cuda
