#include "tests/support/thread_ranks.h"

#include "core/base/integer.h"
#include "tests/support/rank_threads.h"

#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

namespace moe::test {
namespace {

// Thrown in ranks that wait for a failed rank; it is never the error that the caller gets.
struct Released {};

// The state shared by all ranks of a run. One mutex guards every meeting.
struct World {
  std::mutex mutex;
  std::condition_variable changed;
  int num_ranks = 0;
  int waiting = 0;
  int finished = 0;
  bool failed = false;

  // Called with the mutex held: whether no rank is left that could end the waiting.
  bool stuck() const { return waiting > 0 && waiting + finished == num_ranks; }
};

// A rank's data for a collective; the others read it between two meetings.
struct Contribution {
  const char* call = "";
  Tensor tensor;
  std::span<const int64_t> rows;
  int number = 0;
  std::shared_ptr<struct Group> group;
};

// The ranks of one communicator.
struct Group {
  World& world;
  int size;
  std::vector<int> hosts;  // by rank
  std::vector<const Contribution*> contributions;
  int arrived = 0;
  uint64_t meetings = 0;

  Group(World& shared, std::vector<int> of_ranks)
      : world(shared),
        size(static_cast<int>(of_ranks.size())),
        hosts(std::move(of_ranks)),
        contributions(hosts.size()) {}

  // Returns when all ranks of the group are here. A meeting that all of them are sure to reach takes place even when a
  // rank has failed.
  void meet(bool is_sure) {
    std::unique_lock lock(world.mutex);
    if (world.failed && !is_sure) throw Released();
    if (++arrived == size) {
      arrived = 0;
      ++meetings;
      world.waiting -= size - 1;
      world.changed.notify_all();
      return;
    }
    ++world.waiting;
    if (world.stuck()) {
      world.failed = true;
      world.changed.notify_all();
      throw DeviceError("the ranks wait for each other in a deadlock");
    }
    const uint64_t meeting = meetings;
    world.changed.wait(lock, [&] { return (world.failed && !is_sure) || meetings != meeting; });
    if (meetings == meeting) throw Released();
  }
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }
  int host_of(int rank) const override { return group_->hosts[as_index(rank)]; }

  void all_reduce_sum(Tensor x) override {
    reduce("all_reduce_sum", x, [](auto a, auto b) { return a + b; });
  }
  void all_reduce_max(Tensor x) override {
    reduce("all_reduce_max", x, [](auto a, auto b) { return std::max(a, b); });
  }

  void broadcast(Tensor x, int root) override {
    exchange({.call = "broadcast", .tensor = x, .rows = {}, .number = root, .group = {}}, [&] {
      same_everywhere(x, root);
      if (rank_ != root) std::memcpy(x.data, of(root).tensor.data, x.bytes());
    });
  }

  void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                  std::span<const int64_t> send_rows) override {
    const auto ranks = static_cast<size_t>(size());
    MOE_CHECK(recv_rows.size() == ranks && send_rows.size() == ranks, "counts of {} and {} ranks", send_rows.size(),
              recv_rows.size());
    MOE_CHECK(std::accumulate(send_rows.begin(), send_rows.end(), int64_t{0}) <= send.dim(0) &&
                  std::accumulate(recv_rows.begin(), recv_rows.end(), int64_t{0}) <= recv.dim(0),
              "more rows than {} sent and {} received", send.shape.to_string(), recv.shape.to_string());
    const Tensor sent{const_cast<void*>(send.data), send.shape, send.dtype, send.device};
    exchange({.call = "all_to_all", .tensor = sent, .rows = send_rows, .number = 0, .group = {}}, [&] {
      auto* into = static_cast<char*>(recv.data);
      for (int peer = 0; peer < size(); ++peer) {
        const Contribution& theirs = of(peer);
        const int64_t rows = theirs.rows[as_index(rank_)];
        MOE_CHECK(rows == recv_rows[as_index(peer)], "rank {} sends {} rows to rank {}, which wants {}", peer, rows,
                  rank_, recv_rows[as_index(peer)]);
        if (rows == 0) continue;
        MOE_CHECK(theirs.tensor.dtype == recv.dtype && row_bytes(theirs.tensor) == row_bytes(recv), "rows of {} to {}",
                  theirs.tensor.shape.to_string(), recv.shape.to_string());
        const int64_t first = std::accumulate(theirs.rows.begin(), theirs.rows.begin() + rank_, int64_t{0});
        const size_t bytes = static_cast<size_t>(rows) * row_bytes(recv);
        std::memcpy(into, static_cast<const char*>(theirs.tensor.data) + static_cast<size_t>(first) * row_bytes(recv),
                    bytes);
        into += bytes;
      }
    });
  }

  void barrier() override {
    exchange({.call = "barrier", .tensor = {}, .rows = {}, .number = 0, .group = {}}, [] {});
  }

  std::unique_ptr<Communicator> split(int colour) override {
    Contribution mine{.call = "split", .tensor = {}, .rows = {}, .number = colour, .group = {}};
    std::shared_ptr<Group> part;
    int first = -1, place = 0;
    std::vector<int> hosts;
    exchange(mine, [&] {
      for (int peer = 0; peer < size(); ++peer) {
        if (of(peer).number != colour) continue;
        if (first < 0) first = peer;
        if (peer == rank_) place = static_cast<int>(hosts.size());
        hosts.push_back(host_of(peer));
      }
    });
    if (first == rank_) mine.group = std::make_shared<Group>(group_->world, hosts);
    exchange(mine, [&] { part = of(first).group; });
    return std::make_unique<ThreadCommunicator>(part, place);
  }

 private:
  const Contribution& of(int rank) const { return *group_->contributions[as_index(rank)]; }
  static size_t row_bytes(ConstTensor x) { return x.dim(0) == 0 ? 0 : x.bytes() / static_cast<size_t>(x.dim(0)); }

  // Shows `mine` to the others while `read` runs on every rank. No rank leaves, not even by an exception, while another
  // may still read.
  template <class Read>
  void exchange(const Contribution& mine, Read read) {
    group_->contributions[as_index(rank_)] = &mine;
    group_->meet(false);
    std::exception_ptr error;
    try {
      for (int peer = 0; peer < size(); ++peer) {
        MOE_CHECK(std::string(of(peer).call) == mine.call, "rank {} is in {}, rank {} in {}", rank_, mine.call, peer,
                  of(peer).call);
      }
      read();
    } catch (...) {
      error = std::current_exception();
    }
    group_->meet(true);
    if (error) std::rethrow_exception(error);
  }

  void same_everywhere(Tensor x, int number) const {
    for (int peer = 0; peer < size(); ++peer) {
      const Contribution& theirs = of(peer);
      MOE_CHECK(theirs.tensor.shape == x.shape && theirs.tensor.dtype == x.dtype && theirs.number == number,
                "rank {} brings {}, rank {} {}", rank_, x.shape.to_string(), peer, theirs.tensor.shape.to_string());
    }
  }

  template <class Operation>
  void reduce(const char* call, Tensor x, Operation operation) {
    std::vector<char> result(x.bytes());
    const auto reduce_as = [&]<class T>(T) {
      T* out = reinterpret_cast<T*>(result.data());
      for (int64_t i = 0; i < x.size(); ++i) {
        out[i] = of(0).tensor.as<T>()[i];
        for (int peer = 1; peer < size(); ++peer) out[i] = operation(out[i], of(peer).tensor.as<T>()[i]);
      }
    };
    exchange({.call = call, .tensor = x, .rows = {}, .number = 0, .group = {}}, [&] {
      same_everywhere(x, 0);
      switch (x.dtype) {
        case DType::f32:
          return reduce_as(float{});
        case DType::f64:
          return reduce_as(double{});
        case DType::i32:
          return reduce_as(int32_t{});
        default:
          raise<InternalError>("no sums of {}", name_of(x.dtype));
      }
    });
    if (!result.empty()) std::memcpy(x.data, result.data(), result.size());
  }

  std::shared_ptr<Group> group_;
  int rank_;
};

}  // namespace

void run_ranks(int num_ranks, const std::function<void(std::shared_ptr<Communicator>)>& body, std::vector<int> hosts) {
  World world;
  world.num_ranks = num_ranks;
  hosts.resize(static_cast<size_t>(num_ranks), 0);
  const auto group = std::make_shared<Group>(world, std::move(hosts));
  std::exception_ptr first_error;

  const auto end_rank = [&](std::exception_ptr error, bool is_cause) {
    const std::scoped_lock lock(world.mutex);
    ++world.finished;
    if (is_cause && !first_error) first_error = error;
    if (error) world.failed = true;
    if (!world.failed && world.stuck()) {
      world.failed = true;
      first_error = std::make_exception_ptr(DeviceError("a rank has ended while others wait for it"));
    }
    world.changed.notify_all();
  };
  const auto run_rank = [&](int rank) {
    omp_set_num_threads(1);
    try {
      body(std::make_shared<ThreadCommunicator>(group, rank));
      end_rank(nullptr, false);
    } catch (const Released&) {
      end_rank(std::current_exception(), false);
    } catch (...) {
      end_rank(std::current_exception(), true);
    }
  };
  run_on_threads(num_ranks, run_rank);
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace moe::test
