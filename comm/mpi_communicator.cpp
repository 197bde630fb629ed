#include "comm/mpi_communicator.h"

#include "core/base/integer.h"

#include <algorithm>
#include <cstring>

namespace moe {

// MPI counts are int, so larger tensors are sent in pieces of this number of elements.
static constexpr int64_t kPiece = int64_t{1} << 28;

MpiCommunicator::MpiCommunicator(MPI_Comm handle, int host, std::shared_ptr<MpiTransfers> transfers)
    : handle_(handle), transfers_(std::move(transfers)) {
  MPI_CHECK(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN));
  MPI_CHECK(MPI_Comm_rank(handle_, &rank_));
  MPI_CHECK(MPI_Comm_size(handle_, &size_));
  hosts_.resize(as_index(size_));
  MPI_CHECK(MPI_Allgather(&host, 1, MPI_INT, hosts_.data(), 1, MPI_INT, handle_));
  if (size_ == 1) return;
  MPI_CHECK(MPI_Comm_dup(handle_, &started_));
  MPI_CHECK(MPI_Comm_set_errhandler(started_, MPI_ERRORS_RETURN));
}

MpiCommunicator::~MpiCommunicator() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (finalized) return;
  if (started_ != MPI_COMM_NULL) MPI_Comm_free(&started_);
  if (handle_ != MPI_COMM_WORLD) MPI_Comm_free(&handle_);
}

template <class Call>
static void in_pieces(Tensor x, Call call) {
  MOE_CHECK(x.device == Device::cpu, "MPI communication needs host tensors");
  const auto element = static_cast<int64_t>(size_of(x.dtype));
  for (int64_t begin = 0; begin < x.size(); begin += kPiece) {
    call(static_cast<char*>(x.data) + begin * element, static_cast<int>(std::min(kPiece, x.size() - begin)));
  }
}

void MpiCommunicator::all_reduce_sum(Tensor x) {
  in_pieces(x, [&](void* data, int count) {
    MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, data, count, mpi_number_of(x.dtype), MPI_SUM, handle_));
  });
}

void MpiCommunicator::all_reduce_max(Tensor x) {
  in_pieces(x, [&](void* data, int count) {
    MPI_CHECK(MPI_Allreduce(MPI_IN_PLACE, data, count, mpi_number_of(x.dtype), MPI_MAX, handle_));
  });
}

void MpiCommunicator::broadcast(Tensor x, int root) {
  in_pieces(x, [&](void* data, int count) { MPI_CHECK(MPI_Bcast(data, count, mpi_type_of(x.dtype), root, handle_)); });
}

void MpiCommunicator::all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                 std::span<const int64_t> send_rows) {
  constexpr int kTag = 7;
  requests_.clear();
  post_exchange(requests_, recv, recv_rows, send, send_rows, kTag, {handle_, rank_, size_});
  if (!requests_.empty()) {
    MPI_CHECK(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE));
  }
}

void MpiCommunicator::barrier() {
  MPI_CHECK(MPI_Barrier(handle_));
}

Pending MpiCommunicator::start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  if (size_ == 1) return {};
  return {*this, transfers_->start_sums(ranks(), MpiTransfers::Sums::reduce_scatter, x, parts, wire)};
}

Pending MpiCommunicator::start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) {
  if (size_ == 1) return {};
  return {*this, transfers_->start_sums(ranks(), MpiTransfers::Sums::all_gather, x, parts, wire)};
}

Pending MpiCommunicator::start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  if (size_ == 1) return {};
  return {*this, transfers_->start_sums(ranks(), MpiTransfers::Sums::all_reduce, x, parts, wire)};
}

Pending MpiCommunicator::start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                          std::span<const int64_t> send_rows) {
  if (size_ == 1) {
    all_to_all(recv, recv_rows, send, send_rows);
    return {};
  }
  return {*this, transfers_->start_exchange(ranks(), recv, recv_rows, send, send_rows)};
}

std::unique_ptr<Communicator> MpiCommunicator::split(int colour) {
  MPI_Comm part = MPI_COMM_NULL;
  MPI_CHECK(MPI_Comm_split(handle_, colour, rank_, &part));
  return std::make_unique<MpiCommunicator>(part, hosts_[as_index(rank_)], transfers_);
}

}  // namespace moe
