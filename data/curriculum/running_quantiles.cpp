#include "data/curriculum/running_quantiles.h"

#include <algorithm>

namespace moe {

void RunningQuantiles::add(double value) {
  if (ring_.size() < window_) {
    ring_.push_back(value);
  } else {
    sorted_.erase(std::lower_bound(sorted_.begin(), sorted_.end(), ring_[oldest_]));
    ring_[oldest_] = value;
    oldest_ = (oldest_ + 1) % window_;
  }
  sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), value), value);
}

double RunningQuantiles::quantile(double q) const {
  if (sorted_.empty()) return 0;
  const double place = q * static_cast<double>(sorted_.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted_.size() - 1);
  return sorted_[below] + (place - static_cast<double>(below)) * (sorted_[above] - sorted_[below]);
}

double RunningQuantiles::standardise(double value) const {
  const double spread = (quantile(0.84) - quantile(0.16)) / 2;
  return spread > 0 ? std::clamp((value - quantile(0.5)) / spread, -kMost, kMost) : 0;
}

std::vector<double> RunningQuantiles::values() const {
  std::vector<double> result(ring_.begin() + static_cast<std::ptrdiff_t>(oldest_), ring_.end());
  result.insert(result.end(), ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(oldest_));
  return result;
}

void RunningQuantiles::restore(const std::vector<double>& values) {
  ring_.clear();
  sorted_.clear();
  oldest_ = 0;
  for (const double value : values) add(value);
}

}  // namespace moe
