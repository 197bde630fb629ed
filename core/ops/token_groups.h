// Groups of a micro-batch's tokens that are routed together: group g contains the tokens g * first + j * step, j <
// size.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/base/check.h"
#include "core/base/host_device.h"

namespace moe {

struct TokenGroups {
  int64_t count = 0, size = 0;
  int64_t first = 0, step = 1;
  // Where sequences of `time` tokens may end early: the number of tokens of each, on the tensors' device. The rest is
  // padding and belongs to no group. Null: all sequences are full.
  const int32_t* lengths = nullptr;
  int64_t time = 1;

  MOE_HOST_DEVICE int64_t token(int64_t group, int64_t place) const { return group * first + place * step; }
  MOE_HOST_DEVICE bool counts(int64_t token) const {
    return lengths == nullptr || token % time < lengths[token / time];
  }
  // Number of tokens of a group, padding excluded.
  int64_t counted(int64_t group) const {
    if (lengths == nullptr) return size;
    int64_t n = 0;
    for (int64_t j = 0; j < size; ++j) n += counts(token(group, j));
    return n;
  }
};

// The maximum number of a group's tokens that an expert takes.
class GroupRoom {
 public:
  // The same number in every group.
  GroupRoom(int64_t places) : places_(places) {
    MOE_CHECK(places >= 0, "the room of an expert must not be negative, but is {}", places);
  }
  // share * n for a group of n tokens, rounded up, at least 1 and at most n.
  static GroupRoom share(double share) {
    GroupRoom room;
    room.share_ = share;
    return room;
  }
  MOE_HOST_DEVICE int64_t of(int64_t tokens) const {
    if (places_ >= 0) return places_;
    // The subtraction keeps a rounding error above a whole number from adding one.
    const auto wanted = static_cast<int64_t>(ceil(share_ * static_cast<double>(tokens) - 1e-9));
    const int64_t most = tokens > 1 ? tokens : 1;
    return wanted < 1 ? 1 : wanted > most ? most : wanted;
  }

 private:
  GroupRoom() = default;

  int64_t places_ = -1;
  double share_ = 0;
};

}  // namespace moe
