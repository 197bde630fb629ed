#include "comm/mpi_messages.h"

#include <algorithm>
#include <cstring>

#include "core/base/integer.h"

namespace moe {

void post_receive(std::vector<MPI_Request>& requests, void* into, int64_t count, DType type, int peer, int tag,
                  MPI_Comm handle) {
  if (count == 0) return;
  MPI_CHECK(MPI_Irecv(into, mpi_count(count), mpi_type_of(type), peer, tag, handle, &requests.emplace_back()));
}

void post_send(std::vector<MPI_Request>& requests, const void* from, int64_t count, DType type, int peer, int tag,
               MPI_Comm handle) {
  if (count == 0) return;
  MPI_CHECK(MPI_Isend(from, mpi_count(count), mpi_type_of(type), peer, tag, handle, &requests.emplace_back()));
}

// Calls each(peer, elements, count) for every rank in order; returns the address of this rank's own rows.
template <class Byte, class Each>
static Byte* for_each_peer(Byte* data, int64_t width, DType type, std::span<const int64_t> rows, int rank, Each each) {
  Byte* own = nullptr;
  for (int peer = 0; peer < static_cast<int>(rows.size()); ++peer) {
    const int64_t count = rows[as_index(peer)] * width;
    if (peer == rank) {
      own = data;
    } else {
      each(peer, data, count);
    }
    data += count * static_cast<int64_t>(size_of(type));
  }
  return own;
}

void post_exchange(std::vector<MPI_Request>& requests, Tensor recv, std::span<const int64_t> recv_rows,
                   ConstTensor send, std::span<const int64_t> send_rows, int tag, const MpiPeers& peers) {
  const auto width_of = [](const auto& x) { return x.size() / std::max<int64_t>(x.dim(0), 1); };
  const DType type = recv.dtype;
  char* const own_into = for_each_peer(
      static_cast<char*>(recv.data), width_of(recv), type, recv_rows, peers.rank,
      [&](int peer, char* into, int64_t count) { post_receive(requests, into, count, type, peer, tag, peers.handle); });
  const char* const own_from = for_each_peer(static_cast<const char*>(send.data), width_of(send), type, send_rows,
                                             peers.rank, [&](int peer, const char* from, int64_t count) {
                                               post_send(requests, from, count, type, peer, tag, peers.handle);
                                             });
  const int64_t own = send_rows[as_index(peers.rank)] * width_of(send) * static_cast<int64_t>(size_of(type));
  if (own > 0) std::memcpy(own_into, own_from, static_cast<size_t>(own));
}

}  // namespace moe
