#include "core/base/statistics.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <vector>

namespace moe {

static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

static std::vector<double> present(std::span<const double> values) {
  std::vector<double> result;
  std::copy_if(values.begin(), values.end(), std::back_inserter(result), [](double x) { return !std::isnan(x); });
  return result;
}

double mean(std::span<const double> values) {
  const std::vector<double> x = present(values);
  double sum = 0;
  for (const double value : x) sum += value;
  return x.empty() ? kNone : sum / static_cast<double>(x.size());
}

double median(std::span<const double> values) {
  std::vector<double> x = present(values);
  if (x.empty()) return kNone;
  std::sort(x.begin(), x.end());
  const size_t middle = x.size() / 2;
  return x.size() % 2 == 1 ? x[middle] : (x[middle - 1] + x[middle]) / 2;
}

double standard_deviation(std::span<const double> values) {
  const std::vector<double> x = present(values);
  if (x.size() < 2) return kNone;
  const double centre = mean(x);
  double squares = 0;
  for (const double value : x) squares += (value - centre) * (value - centre);
  return std::sqrt(squares / static_cast<double>(x.size() - 1));
}

}  // namespace moe
