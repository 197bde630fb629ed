// What a build without CUDA says to whoever asks for a device.
#pragma once
#include "core/base/error.h"

namespace moe::cuda {

inline constexpr const char* kNoCuda = "this program was built without CUDA";

[[noreturn]] inline void refuse() {
  throw DeviceError(kNoCuda);
}

}  // namespace moe::cuda
