// A communicator whose started exchanges take place as late as they may: when they are waited for. What is used or
// overwritten too early then shows: until then, received rows are not numbers, and sent rows have not been read.
#pragma once
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace moe::test {

class LateCommunicator : public Communicator {
 public:
  enum class Event { start, wait };
  // `observer` is called when an exchange is started, and when it is waited for, with its number. All ranks must wait
  // for exchanges in the same order.
  using Observer = std::function<void(Event event, int64_t number)>;
  explicit LateCommunicator(std::shared_ptr<Communicator> inner, Observer observer = {})
      : inner_(std::move(inner)), observer_(std::move(observer)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  int host_of(int rank) const override { return inner_->host_of(rank); }
  void all_reduce_sum(Tensor x) override { inner_->all_reduce_sum(x); }
  void all_reduce_max(Tensor x) override { inner_->all_reduce_max(x); }
  void broadcast(Tensor x, int root) override { inner_->broadcast(x, root); }
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override {
    inner_->all_to_all(recv, recv_rows, send, send_rows);
  }
  void barrier() override { inner_->barrier(); }
  Pending start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                           std::span<const int64_t> send_rows) override {
    std::memset(recv.data, 0xff, recv.bytes());  // NaN
    started_.push_back({recv, {recv_rows.begin(), recv_rows.end()}, send, {send_rows.begin(), send_rows.end()}});
    const int64_t number = std::ssize(started_) - 1;
    if (observer_) observer_(Event::start, number);
    return {*this, number};
  }
  std::unique_ptr<Communicator> split(int colour) override {
    return std::make_unique<LateCommunicator>(inner_->split(colour), observer_);
  }

 private:
  struct Started {
    Tensor recv;
    std::vector<int64_t> recv_rows;
    ConstTensor send;
    std::vector<int64_t> send_rows;
  };
  std::optional<TransferTime> finish(int64_t number) override {
    if (observer_) observer_(Event::wait, number);
    const Started& s = started_[as_index(number)];
    inner_->all_to_all(s.recv, s.recv_rows, s.send, s.send_rows);
    return std::nullopt;
  }

  std::shared_ptr<Communicator> inner_;
  Observer observer_;
  std::vector<Started> started_;
};

}  // namespace moe::test
