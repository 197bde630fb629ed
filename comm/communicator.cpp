#include "comm/communicator.h"

#include "core/tensor/bfloat16.h"

namespace moe {

Pending::~Pending() {
  if (owner_) owner_->give_up();
}

std::optional<TransferTime> Pending::wait() {
  Communicator* const owner = std::exchange(owner_, nullptr);
  return owner ? owner->finish(ticket_) : std::nullopt;
}

// The simple forms, for communicators whose communications are complete when they return.

static void round_to(Tensor x, DType wire) {
  if (wire != DType::bf16 || x.device != Device::cpu) return;
  float* const values = x.as<float>();
  for (int64_t i = 0; i < x.size(); ++i) values[i] = to_float(to_bfloat16(values[i]));
}

Pending Communicator::start_reduce_scatter_sum(Tensor x, std::span<const int64_t>, DType wire) {
  if (size() == 1) return {};
  round_to(x, wire);
  all_reduce_sum(x);
  round_to(x, wire);
  return {};
}

Pending Communicator::start_all_gather(Tensor x, std::span<const int64_t> parts, DType) {
  int64_t begin = 0;
  for (int root = 0; root < size(); ++root) {
    const int64_t count = parts[as_index(root)];
    broadcast(x.slice(begin, count), root);
    begin += count;
  }
  return {};
}

Pending Communicator::start_all_reduce_sum(Tensor x, std::span<const int64_t> parts, DType wire) {
  return start_reduce_scatter_sum(x, parts, wire);  // which leaves the sums in all parts
}

Pending Communicator::start_all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                       std::span<const int64_t> send_rows) {
  all_to_all(recv, recv_rows, send, send_rows);
  return {};
}

}  // namespace moe
