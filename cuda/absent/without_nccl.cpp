// The NCCL functions of a build without NCCL.
#include "comm/nccl.h"

namespace moe::cuda {

bool nccl_built() {
  return false;
}

bool ranks_share_a_gpu(Communicator&, int) {
  return true;
}

std::unique_ptr<Communicator> make_nccl_communicator(std::shared_ptr<Communicator>, std::shared_ptr<Queue>, int) {
  throw DeviceError("this program was built without NCCL; set parallel.communication: mpi");
}

}  // namespace moe::cuda
