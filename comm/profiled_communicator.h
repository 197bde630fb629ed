// A communicator that reports to a TrafficRecorder what is sent through another one.
#pragma once
#include <memory>
#include <vector>

#include "comm/communicator.h"
#include "comm/traffic.h"

namespace moe {

// The same ranks, whose communications `recorder` records while a step is recorded; parts of them (split) are recorded
// too. Returns `ranks` itself for a single rank or without a recorder.
//
// Bytes and messages are counted as if each rank sent directly to each other: rows to the ranks that get them; for sums
// the other ranks' parts, and the own sums to all; a broadcast from its root to all. Started sums and exchanges by MPI
// are carried out like that. MPI and NCCL choose other ways for other sums, which send about as many bytes.
std::shared_ptr<Communicator> profiled(std::shared_ptr<Communicator> ranks, std::shared_ptr<TrafficRecorder> recorder);

class ProfiledCommunicator : public Communicator {
 public:
  ProfiledCommunicator(std::shared_ptr<Communicator> ranks, std::shared_ptr<TrafficRecorder> recorder);

  int rank() const override { return ranks_->rank(); }
  int size() const override { return ranks_->size(); }
  int host_of(int rank) const override { return ranks_->host_of(rank); }
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
  bool can_send_bf16() const override { return ranks_->can_send_bf16(); }
  std::unique_ptr<Communicator> split(int colour) override;

 private:
  // A communication that was started and is not waited for yet. Its memory is kept for later ones.
  struct Started {
    Pending pending;
    TrafficEvent event;                     // as of its start
    double start_begin = 0, start_end = 0;  // seconds in which the program started it
    bool used = false;
  };

  std::optional<TransferTime> finish(int64_t ticket) override;
  void give_up() override { started_.clear(); }

  // Carries out `work`, which blocks, and records it with the counts that count() returns.
  template <class Count, class Work>
  void blocking(Device device, Count count, Work work);
  // Starts a communication by start() and records it when it was waited for.
  template <class Count, class Start>
  Pending starting(Device device, Count count, Start start);

  void add(TrafficCounts& counts, int peer, int64_t bytes) const;
  TrafficCounts of_rows(ConstTensor send, std::span<const int64_t> rows) const;
  TrafficCounts of_parts(const Tensor& x, std::span<const int64_t> parts, DType wire, bool reduces, bool gathers) const;
  TrafficCounts of_sum(const Tensor& x) const;

  std::shared_ptr<Communicator> ranks_;
  std::shared_ptr<TrafficRecorder> recorder_;
  std::vector<Started> started_;  // by ticket
};

}  // namespace moe
