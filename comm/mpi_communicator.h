// Communication of host tensors by MPI.
#pragma once
#include <mpi.h>

#include <memory>
#include <optional>
#include <vector>

#include "comm/communicator.h"
#include "comm/mpi_transfers.h"
#include "comm/mpi_types.h"

namespace moe {

class MpiCommunicator : public Communicator {
 public:
  // Takes ownership of `handle` unless it is MPI_COMM_WORLD. `transfers` carries out what is started. Collective.
  // `host`: the number of this rank's host.
  MpiCommunicator(MPI_Comm handle, int host, std::shared_ptr<MpiTransfers> transfers);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int host_of(int rank) const override { return hosts_[as_index(rank)]; }
  void all_reduce_sum(Tensor x) override;
  void all_reduce_max(Tensor x) override;
  void broadcast(Tensor x, int root) override;
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override;
  void barrier() override;
  Pending start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) override;
  Pending start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) override;
  Pending start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) override;
  Pending start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                           std::span<const int64_t> send_rows) override;
  std::unique_ptr<Communicator> split(int colour) override;

 private:
  std::optional<TransferTime> finish(int64_t ticket) override { return transfers_->wait(ticket); }
  void give_up() override { transfers_->give_up(); }
  MpiTransfers::Ranks ranks() { return {{started_, rank_, size_}, &next_tag_}; }

  MPI_Comm handle_;
  std::shared_ptr<MpiTransfers> transfers_;
  MPI_Comm started_ = MPI_COMM_NULL;  // the same ranks, for what is started
  int64_t next_tag_ = 0;
  int rank_ = 0;
  int size_ = 1;
  std::vector<int> hosts_;             // by rank
  std::vector<MPI_Request> requests_;  // reused between calls, so that a step allocates nothing
};

}  // namespace moe
