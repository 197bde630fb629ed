// Moves device tensors through host memory with a communicator for host tensors. It is slower than NCCL, but works
// where NCCL does not: with several ranks on one GPU.
#pragma once
#include <vector>

#include "comm/communicator.h"

namespace moe {

class StagedCommunicator : public Communicator {
 public:
  explicit StagedCommunicator(std::shared_ptr<Communicator> host) : host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  int host_of(int rank) const override { return host_->host_of(rank); }
  void all_reduce_sum(Tensor x) override;
  void all_reduce_max(Tensor x) override;
  void broadcast(Tensor x, int root) override;
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override;
  Pending start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) override;
  Pending start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) override;
  Pending start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) override;
  void barrier() override { host_->barrier(); }
  std::unique_ptr<Communicator> split(int colour) override;

 private:
  // Calls move(host tensor) on a host copy of x and copies the result back.
  template <class Move>
  void in_place(Tensor x, Move move);

  std::shared_ptr<Communicator> host_;
  std::vector<char> buffer_, sent_;  // reused between calls, so that a step allocates nothing
};

}  // namespace moe
