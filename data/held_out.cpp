#include "data/held_out.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/keyed_permutation.h"

namespace moe {

constexpr uint32_t kValidationStream = 2;  // other streams: data/sampler.cpp

HeldOut hold_out(int64_t samples, int64_t validation, int64_t seed) {
  if (validation >= samples) {
    raise<UsageError>("data.labelled.validation: {} of {} samples would leave none to train on; use a smaller number",
                      validation, samples);
  }
  const KeyedPermutation order(samples, {static_cast<uint64_t>(seed), RandomPurpose::sampling, kValidationStream, 0});
  std::vector<int64_t> shuffled(static_cast<size_t>(samples));
  for (int64_t i = 0; i < samples; ++i) shuffled[as_index(i)] = order(i);
  const auto middle = shuffled.begin() + validation;
  std::sort(shuffled.begin(), middle);
  std::sort(middle, shuffled.end());
  return {{middle, shuffled.end()}, {shuffled.begin(), middle}};
}

}  // namespace moe
