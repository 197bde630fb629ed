// One stream of one device with the library handles that use it. A Context's ops are launched on it.
#pragma once
#include <memory>

#include "core/tensor/device.h"
#include "cuda/device/cublas.h"
#include "cuda/device/device_info.h"
#include "cuda/device/stream.h"

namespace moe::cuda {

class Queue {
 public:
  // Also makes `device` the calling thread's current device.
  explicit Queue(int device);

  // For queueing work; counts as a submission.
  cudaStream_t stream() const;
  const DeviceInfo& info() const { return info_; }
  Blas& blas();
  // Whether kernels for sm_90a (wgmma, TMA) may be chosen: true on an sm_90 device, unless MOE_FORCE_SM80 is set.
  bool hopper() const { return hopper_; }

 private:
  DeviceInfo info_;
  bool hopper_;
  Stream stream_;
  std::shared_ptr<Blas> blas_;
};

}  // namespace moe::cuda
