// A random permutation of [0, size) that needs no table: a Feistel network over Philox on the next power of four. The
// network is applied repeatedly (cycle walking) until the value is below size.
#pragma once
#include <cstdint>

#include "core/base/philox.h"

namespace moe {

class KeyedPermutation {
 public:
  KeyedPermutation(int64_t size, const RandomKey& key);
  // Maps `index` in [0, size) to its image in [0, size). Each pass takes six rounds of Philox; the expected number of
  // passes is at most four.
  int64_t operator()(int64_t index) const;

 private:
  uint64_t size_;
  RandomKey key_;
  int half_bits_ = 0;
};

}  // namespace moe
