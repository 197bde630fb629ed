#include "comm/staged_communicator.h"

#include <algorithm>
#include <utility>

#include "core/tensor/device.h"

namespace moe {

using cuda::Direction;

template <class Move>
void StagedCommunicator::in_place(Tensor x, Move move) {
  if (x.device == Device::cpu) return move(x);
  if (size() == 1) return;
  buffer_.resize(x.bytes());
  if (x.bytes() > 0) cuda::copy_now(buffer_.data(), x.data, x.bytes(), Direction::to_host);
  move(Tensor{buffer_.data(), x.shape, x.dtype, Device::cpu});
  if (x.bytes() > 0) cuda::copy_now(x.data, buffer_.data(), x.bytes(), Direction::to_device);
}

void StagedCommunicator::all_reduce_sum(Tensor x) {
  in_place(x, [&](Tensor host) { host_->all_reduce_sum(host); });
}

void StagedCommunicator::all_reduce_max(Tensor x) {
  in_place(x, [&](Tensor host) { host_->all_reduce_max(host); });
}

void StagedCommunicator::broadcast(Tensor x, int root) {
  in_place(x, [&](Tensor host) { host_->broadcast(host, root); });
}

// Complete when they return: the copies to and from the GPU wait for it.
Pending StagedCommunicator::start_reduce_scatter_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  in_place(x, [&](Tensor host) { host_->start_reduce_scatter_sum(host, parts, wire).wait(); });
  return {};
}

Pending StagedCommunicator::start_all_gather(Tensor x, std::span<const int64_t> parts, DType wire) {
  in_place(x, [&](Tensor host) { host_->start_all_gather(host, parts, wire).wait(); });
  return {};
}

Pending StagedCommunicator::start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  in_place(x, [&](Tensor host) { host_->start_all_reduce_sum(host, parts, wire).wait(); });
  return {};
}

// bf16 rows are sent as raw bytes, in units of 4 bytes (i32), because nothing is added during the exchange.
static std::pair<Shape, DType> as_bytes(const Shape& shape, DType dtype) {
  if (dtype != DType::bf16) return {shape, dtype};
  const int64_t width = shape.rank() == 1 ? 1 : shape.size() / std::max<int64_t>(shape[0], 1);
  MOE_CHECK(width % 2 == 0 || shape[0] == 0, "rows of {} bf16 elements are not a multiple of 4 bytes", width);
  return {Shape{shape[0], width / 2}, DType::i32};
}

void StagedCommunicator::all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                    std::span<const int64_t> send_rows) {
  if (recv.device == Device::cpu) return host_->all_to_all(recv, recv_rows, send, send_rows);
  buffer_.resize(recv.bytes());
  sent_.resize(send.bytes());
  if (send.bytes() > 0) cuda::copy_now(sent_.data(), send.data, send.bytes(), Direction::to_host);
  const auto [recv_shape, recv_type] = as_bytes(recv.shape, recv.dtype);
  const auto [send_shape, send_type] = as_bytes(send.shape, send.dtype);
  const Tensor into{buffer_.data(), recv_shape, recv_type, Device::cpu};
  const Tensor from{sent_.data(), send_shape, send_type, Device::cpu};
  host_->all_to_all(into, recv_rows, from, send_rows);
  if (recv.bytes() > 0) cuda::copy_now(recv.data, buffer_.data(), recv.bytes(), Direction::to_device);
}

std::unique_ptr<Communicator> StagedCommunicator::split(int colour) {
  return std::make_unique<StagedCommunicator>(host_->split(colour));
}

}  // namespace moe
