// Another communicator's ranks on hosts that a test makes up, with a view of what is sent.
#pragma once
#include <functional>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "core/base/integer.h"

namespace moe::test {

class MadeUpHosts : public Communicator {
 public:
  // Called for what this rank sends to another in an exchange of rows, by their ranks in the first communicator.
  using Observer = std::function<void(int from, int to, DType dtype, size_t bytes)>;

  // `hosts`: the host of each rank.
  MadeUpHosts(std::shared_ptr<Communicator> inner, std::vector<int> hosts, Observer observer = {})
      : MadeUpHosts(std::move(inner), hosts, first_numbers(hosts.size()), std::move(observer)) {}
  MadeUpHosts(std::shared_ptr<Communicator> inner, std::vector<int> hosts, std::vector<int> numbers, Observer observer)
      : inner_(std::move(inner)),
        hosts_(std::move(hosts)),
        numbers_(std::move(numbers)),
        observer_(std::move(observer)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  int host_of(int rank) const override { return hosts_[as_index(rank)]; }
  void all_reduce_sum(Tensor x) override { inner_->all_reduce_sum(x); }
  void all_reduce_max(Tensor x) override { inner_->all_reduce_max(x); }
  void broadcast(Tensor x, int root) override { inner_->broadcast(x, root); }
  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override {
    observe(send, send_rows);
    inner_->all_to_all(recv, recv_rows, send, send_rows);
  }
  void barrier() override { inner_->barrier(); }
  Pending start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) override {
    return inner_->start_reduce_scatter_sum(x, parts, wire);
  }
  Pending start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) override {
    return inner_->start_all_gather(x, parts, wire);
  }
  Pending start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) override {
    return inner_->start_all_reduce_sum(x, parts, wire);
  }
  Pending start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                           std::span<const int64_t> send_rows) override {
    observe(send, send_rows);
    return inner_->start_all_to_all(recv, recv_rows, send, send_rows);
  }
  std::unique_ptr<Communicator> split(int colour) override {
    std::vector<int32_t> colours(as_index(size()));
    colours[as_index(rank())] = colour;
    inner_->all_reduce_sum(as_tensor(std::span<int32_t>(colours)));
    std::vector<int> hosts, numbers;
    for (size_t r = 0; r < colours.size(); ++r) {
      if (colours[r] == colour) hosts.push_back(hosts_[r]), numbers.push_back(numbers_[r]);
    }
    return std::make_unique<MadeUpHosts>(inner_->split(colour), std::move(hosts), std::move(numbers), observer_);
  }

 private:
  // GCC 14 warns of a vector that is resized and filled in the constructor.
  static std::vector<int> first_numbers(size_t count) {
    std::vector<int> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0);
    return numbers;
  }

  void observe(ConstTensor send, std::span<const int64_t> rows) const {
    if (!observer_) return;
    const size_t row = send.dim(0) == 0 ? 0 : send.bytes() / static_cast<size_t>(send.dim(0));
    for (int to = 0; to < size(); ++to) {
      observer_(numbers_[as_index(rank())], numbers_[as_index(to)], send.dtype, as_index(rows[as_index(to)]) * row);
    }
  }

  std::shared_ptr<Communicator> inner_;
  std::vector<int> hosts_, numbers_;  // of each rank: its host, and its rank in the first communicator
  Observer observer_;
};

}  // namespace moe::test
