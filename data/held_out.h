// Which of a set's samples are held out for validation.
#pragma once
#include <cstdint>
#include <vector>

namespace moe {

struct HeldOut {
  std::vector<int64_t> train, validation;  // in the order of the set
};
// `validation` of `samples`, drawn by a permutation that `seed` keys. Throws UsageError when none would be left.
HeldOut hold_out(int64_t samples, int64_t validation, int64_t seed);

}  // namespace moe
