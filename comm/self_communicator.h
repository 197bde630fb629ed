// The communicator of a single rank.
#pragma once
#include "comm/communicator.h"

namespace moe {

class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void all_reduce_sum(Tensor) override {}
  void all_reduce_max(Tensor) override {}
  void broadcast(Tensor, int) override {}
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override;
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return std::make_unique<SelfCommunicator>(); }
};

}  // namespace moe
