// Chooses the samples of a set that are held out for validation.
#pragma once
#include <cstdint>
#include <vector>

namespace moe {

struct HeldOut {
  std::vector<int64_t> train, validation;  // in the order of the set
};
// Holds out `validation` of `samples`, drawn by a permutation keyed by `seed`. Throws UsageError when none would be
// left.
HeldOut hold_out(int64_t samples, int64_t validation, int64_t seed);

}  // namespace moe
