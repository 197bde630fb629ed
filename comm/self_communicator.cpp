#include "comm/self_communicator.h"

#include <cstring>

namespace moe {

void SelfCommunicator::all_to_all(Tensor recv, std::span<const int64_t> recv_rows, ConstTensor send,
                                  std::span<const int64_t> send_rows) {
  MOE_CHECK(recv_rows[0] == send_rows[0] && recv.bytes() == send.bytes(),
            "a single rank sends {} rows to itself but expects {}", send_rows[0], recv_rows[0]);
  if (send.bytes() > 0) std::memcpy(recv.data, send.data, send.bytes());
}

}  // namespace moe
