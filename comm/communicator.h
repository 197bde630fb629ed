// Communication between ranks. The functions take tensors, never a pointer and a count. Implementations: MPI for host
// tensors, NCCL for device tensors, and threads within one process for tests.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/tensor/tensor.h"

namespace moe {

class Communicator;

// When a communication that was started was carried out, in seconds of steady_seconds() (comm/traffic.h).
struct TransferTime {
  double begin, end;
};

// A communication that was started and goes on while the program computes. Its tensors must not be used before wait()
// returns.
class Pending {
 public:
  Pending() = default;  // of a communication that is complete already
  Pending(Communicator& owner, int64_t ticket) : owner_(&owner), ticket_(ticket) {}
  Pending(Pending&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), ticket_(other.ticket_) {}
  Pending& operator=(Pending&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(ticket_, other.ticket_);
    return *this;
  }
  // Without wait(), which happens when an exception is thrown: all communications of this process that were started are
  // given up, because the other ranks may never take part. The program must end then.
  ~Pending();

  // Returns when the communication is complete: the time at which it was carried out, where the communicator knows it
  // and it was not complete when it had been started. Throws DeviceError if it failed.
  std::optional<TransferTime> wait();

 private:
  Communicator* owner_ = nullptr;
  int64_t ticket_ = 0;
};

class Communicator {
 public:
  // At most so many started sums of host tensors are carried out at once; each keeps messages as large as its tensor.
  static constexpr int64_t kSumsAtOnce = 4;

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // The host of a rank: ranks of equal hosts share a machine.
  virtual int host_of(int /*rank*/) const { return 0; }

  // Element-wise over all ranks, in place; f32, f64, i32. The result is bitwise the same on every rank.
  virtual void all_reduce_sum(Tensor x) = 0;
  virtual void all_reduce_max(Tensor x) = 0;
  virtual void broadcast(Tensor x, int root) = 0;
  // Exchanges rows of dimension 0: rank r receives send_rows[r] rows, in rank order on both sides. send and recv must
  // have equal row shapes; counts may be 0.
  virtual void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                          std::span<const int64_t> send_rows) = 0;
  virtual void barrier() = 0;

  // Communications that go on while the program computes. All ranks must start them in the same order, and may wait for
  // them in any. By default they are complete when they return.
  // Sums over the ranks, added in the order of the ranks, so that the bits do not depend on which rank adds. f32 and
  // f64. x (n) consists of one part for each rank, parts[r] elements long; afterwards rank r's part holds the sums, and
  // the others are undefined. `wire`: bf16 to send f32 elements in bf16, in both directions: each rank's terms are
  // rounded, and the sums too, which are added in f32. One rank alone rounds nothing.
  virtual Pending start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire = DType::f32);
  // Copies each rank's part of x to all ranks. With `wire` bf16 the parts must be rounded already.
  virtual Pending start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire = DType::f32);
  // The first, then the second.
  virtual Pending start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire = DType::f32);
  virtual Pending start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                   std::span<const int64_t> send_rows);

  // Whether `wire` may be bf16.
  virtual bool can_send_bf16() const { return true; }

  // Returns a communicator of the ranks with the same colour, ordered by their rank here. Collective.
  virtual std::unique_ptr<Communicator> split(int colour) = 0;

 private:
  friend class Pending;
  virtual std::optional<TransferTime> finish(int64_t /*ticket*/) { return std::nullopt; }
  virtual void give_up() {}
};

// Wraps host values as tensors, for collectives.
inline Tensor as_tensor(std::span<double> values) {
  return {values.data(), Shape{static_cast<int64_t>(values.size())}, DType::f64, Device::cpu};
}
inline Tensor as_tensor(std::span<float> values) {
  return {values.data(), Shape{static_cast<int64_t>(values.size())}, DType::f32, Device::cpu};
}
inline Tensor as_tensor(std::span<int32_t> values) {
  return {values.data(), Shape{static_cast<int64_t>(values.size())}, DType::i32, Device::cpu};
}

// Wraps a struct that contains only f64 sums as one tensor, so that one reduction adds them all.
template <class Sums>
Tensor sums_tensor(Sums& sums) {
  static_assert(std::is_trivially_copyable_v<Sums> && std::is_standard_layout_v<Sums> &&
                sizeof(Sums) % sizeof(double) == 0);
  return as_tensor(std::span(reinterpret_cast<double*>(&sums), sizeof(Sums) / sizeof(double)));
}
// The same for several of them.
template <class Sums>
Tensor sums_tensor(std::vector<Sums>& sums) {
  static_assert(std::is_trivially_copyable_v<Sums> && std::is_standard_layout_v<Sums> &&
                sizeof(Sums) % sizeof(double) == 0);
  return as_tensor(std::span(reinterpret_cast<double*>(sums.data()), sums.size() * sizeof(Sums) / sizeof(double)));
}

}  // namespace moe
