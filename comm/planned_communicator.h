// Represents one of several ranks while a run is only planned. It has sizes but cannot communicate.
#pragma once
#include <cstdint>
#include <memory>

#include "comm/communicator.h"

namespace moe {

class PlannedCommunicator : public Communicator {
 public:
  // The last of `size` ranks, because that rank has the largest share if shares are uneven.
  // `per_host`: ranks of a host; 0: all are on one.
  explicit PlannedCommunicator(int size, int per_host = 0) : size_(size), per_host_(per_host) {}

  int rank() const override { return size_ - 1; }
  int size() const override { return size_; }
  int host_of(int rank) const override { return per_host_ > 0 ? rank / per_host_ : 0; }
  void all_reduce_sum(Tensor) override { refuse(); }
  void all_reduce_max(Tensor) override { refuse(); }
  void broadcast(Tensor, int) override { refuse(); }
  void all_to_all(Tensor, std::span<const int64_t>, ConstTensor, std::span<const int64_t>) override { refuse(); }
  void barrier() override { refuse(); }
  std::unique_ptr<Communicator> split(int) override {
    throw InternalError("a communicator for planning cannot be split");
  }

 private:
  [[noreturn]] static void refuse() { throw InternalError("a communicator for planning cannot communicate"); }
  int size_, per_host_;
};

}  // namespace moe
