// What a build without CUDA says to whoever asks for a device.
#pragma once
#include "core/base/error.h"
#include "core/tensor/context.h"

namespace moe::cuda {

inline constexpr const char* kNoCuda = "this program was built without CUDA";

[[noreturn]] inline void refuse() {
  throw DeviceError(kNoCuda);
}

// All that an op's twin does there: a device may be planned for.
inline void absent(const Context& ctx) {
  if (!ctx.planning) refuse();
}

}  // namespace moe::cuda
