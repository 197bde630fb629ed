#include "data/keyed_permutation.h"

#include <bit>

#include "core/base/check.h"

namespace moe {

// Four rounds make a strong permutation of large halves (Luby and Rackoff); the small halves of small sizes benefit
// from more.
constexpr uint64_t kRounds = 6;

KeyedPermutation::KeyedPermutation(int64_t size, const RandomKey& key) : size_(static_cast<uint64_t>(size)), key_(key) {
  MOE_CHECK(size > 0, "a permutation of {} elements", size);
  half_bits_ = (std::bit_width(size_ - 1) + 1) / 2;
}

int64_t KeyedPermutation::operator()(int64_t index) const {
  MOE_CHECK(index >= 0 && static_cast<uint64_t>(index) < size_, "index {} of {}", index, size_);
  if (size_ == 1) return 0;
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  auto value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t next = left ^ (key_.bits((round << 32) | right) & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= size_);
  return static_cast<int64_t>(value);
}

}  // namespace moe
