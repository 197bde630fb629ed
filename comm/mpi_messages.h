// Point-to-point messages that are posted and completed later.
#pragma once
#include <span>
#include <vector>

#include "comm/mpi_types.h"

namespace moe {

struct MpiPeers {
  MPI_Comm handle;
  int rank, size;
};

// Append a request, or none for a message without elements.
void post_receive(std::vector<MPI_Request>& requests, void* into, int64_t count, DType type, int peer, int tag,
                  MPI_Comm handle);
void post_send(std::vector<MPI_Request>& requests, const void* from, int64_t count, DType type, int peer, int tag,
               MPI_Comm handle);
// Communicator::all_to_all of host tensors: posts its messages, and copies this rank's own rows. Point to point instead
// of MPI_Alltoallv: peers without rows get no message, and the total count may exceed int.
void post_exchange(std::vector<MPI_Request>& requests, Tensor recv, std::span<const int64_t> recv_rows,
                   ConstTensor send, std::span<const int64_t> send_rows, int tag, const MpiPeers& peers);

}  // namespace moe
