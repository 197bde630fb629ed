// Communication of device tensors by NCCL. The implementation is in cuda/comm, or in cuda/absent for builds without
// NCCL.
#pragma once
#include <memory>

#include "comm/communicator.h"
#include "core/tensor/device.h"

namespace moe::cuda {

bool nccl_built();

// Whether two ranks of `host` use the same GPU, which NCCL does not support. Collective.
bool ranks_share_a_gpu(Communicator& host, int device);

// Uses NCCL on the queue's stream for device tensors, and `host` for host tensors, barriers and the exchange of NCCL's
// id. Collective. Throws DeviceError if ranks share a GPU, or if the build has no NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<Communicator> host, std::shared_ptr<Queue> queue,
                                                     int device);

}  // namespace moe::cuda
