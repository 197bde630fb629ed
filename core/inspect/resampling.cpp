#include "core/inspect/resampling.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/philox.h"
#include "core/inspect/paired_difference.h"

namespace moe {

std::pair<double, double> resampled_interval(int count, size_t n, FunctionRef<double(const Resample&)> statistic) {
  MOE_CHECK(count > 1 && n > 0, "{} resamples of {} observations", count, n);
  std::vector<double> values;
  Resample resample(n);
  for (int i = 0; i < count; ++i) {
    const RandomKey key{.seed = 1, .purpose = RandomPurpose::resampling, .step = static_cast<uint64_t>(i)};
    for (size_t k = 0; k < n; ++k) {
      const auto drawn = static_cast<size_t>(unit_of(key.words(k)[0]) * static_cast<double>(n));
      resample[k] = std::min(drawn, n - 1);
    }
    values.push_back(statistic(resample));
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(std::lround(share * static_cast<double>(count - 1)))];
  };
  return {at((1 - kConfidence) / 2), at((1 + kConfidence) / 2)};
}

}  // namespace moe
