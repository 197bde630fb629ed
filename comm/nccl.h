// NCCL for device tensors. The implementation is in cuda/comm, or in cuda/absent where the build has no NCCL.
#pragma once
#include <memory>

#include "comm/communicator.h"
#include "core/tensor/device.h"

namespace moe::cuda {

bool nccl_built();

// Whether two ranks of `host` use the same GPU, which NCCL refuses. Collective.
bool ranks_share_a_gpu(Communicator& host, int device);

// Device tensors by NCCL, on the queue's stream; host tensors, barriers and the exchange of NCCL's id by `host`.
// Collective. Throws DeviceError when ranks share a GPU, or where the build has no NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<Communicator> host, std::shared_ptr<Queue> queue,
                                                     int device);

}  // namespace moe::cuda
