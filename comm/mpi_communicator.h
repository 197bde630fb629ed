// Communication of host tensors by MPI.
#pragma once
#include <mpi.h>

#include <vector>

#include "comm/communicator.h"

namespace moe {

// Throws a DeviceError with MPI's message if a call fails.
#define MPI_CHECK(call) ::moe::check_mpi((call), #call)
void check_mpi(int status, const char* call);

class MpiCommunicator : public Communicator {
 public:
  // Takes ownership of `handle` unless it is MPI_COMM_WORLD.
  explicit MpiCommunicator(MPI_Comm handle);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce_sum(Tensor x) override;
  void all_reduce_max(Tensor x) override;
  void broadcast(Tensor x, int root) override;
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int colour) override;

 private:
  MPI_Comm handle_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<MPI_Request> requests_;  // reused between calls, so that a step allocates nothing
};

}  // namespace moe
