#include "core/initialise/unit_draws.h"

#include "core/base/integer.h"

#include <algorithm>
#include <cmath>

namespace moe {

MeanAndDeviation mean_and_deviation(const std::vector<float>& x) {
  double sum = 0, squares = 0;
  for (const float v : x) sum += static_cast<double>(v), squares += static_cast<double>(v) * static_cast<double>(v);
  const double n = static_cast<double>(x.size()), mean = sum / n;
  return {mean, std::sqrt(std::max(squares / n - mean * mean, 0.0))};
}

void redraw_units(std::vector<float>& values, const ExpertMatrix& matrix, const std::function<bool(int64_t)>& is_drawn,
                  const RandomKey& fresh) {
  const auto [mean, deviation] = mean_and_deviation(values);
  std::vector<char> drawn(static_cast<size_t>(matrix.units()));
  for (size_t unit = 0; unit < drawn.size(); ++unit) drawn[unit] = is_drawn(static_cast<int64_t>(unit));
  for (size_t i = 0; i < values.size(); ++i) {
    if (!drawn[as_index(matrix.unit_of(static_cast<int64_t>(i)))]) continue;
    values[i] = static_cast<float>(mean + deviation * static_cast<double>(fresh.normal(i)));
  }
}

}  // namespace moe
