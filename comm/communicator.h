// Communication between ranks. The functions take tensors, never a pointer and a count. Implementations: MPI for host
// tensors, NCCL for device tensors, and threads within one process for tests.
#pragma once
#include <memory>
#include <span>
#include <type_traits>

#include "core/tensor/tensor.h"

namespace moe {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Element-wise over all ranks, in place; f32, f64, i32. The result is bitwise the same on every rank.
  virtual void all_reduce_sum(Tensor x) = 0;
  virtual void all_reduce_max(Tensor x) = 0;
  virtual void broadcast(Tensor x, int root) = 0;
  // Exchanges rows of dimension 0: rank r receives send_rows[r] rows, in rank order on both sides. send and recv must
  // have equal row shapes; counts may be 0.
  virtual void all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                          std::span<const int64_t> send_rows) = 0;
  virtual void barrier() = 0;
  // Returns a communicator of the ranks with the same colour, ordered by their rank here. Collective.
  virtual std::unique_ptr<Communicator> split(int colour) = 0;
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

}  // namespace moe
