// A random permutation of [0, size) that needs no memory: a Feistel network over Philox on the next power of
// four, walked along its cycles until the value is inside again.
#pragma once
#include <cstdint>

#include "core/base/philox.h"

namespace moe {

class KeyedPermutation {
 public:
  KeyedPermutation(int64_t size, const RandomKey& key);
  // `index` in [0, size) -> its image in [0, size). About four rounds of Philox per index, four times that at
  // the worst.
  int64_t operator()(int64_t index) const;

 private:
  uint64_t size_;
  RandomKey key_;
  int half_bits_ = 0;
};

}  // namespace moe
