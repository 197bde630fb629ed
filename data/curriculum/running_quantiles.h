// Quantiles of the latest values of a stream, and standardisation of values by them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace moe {

class RunningQuantiles {
 public:
  explicit RunningQuantiles(int64_t window) : window_(static_cast<size_t>(window)) {}

  void add(double value);
  bool empty() const { return sorted_.empty(); }
  // Interpolates linearly between neighbours; q in [0, 1]. 0 when there are no values yet.
  double quantile(double q) const;
  // (value - median) / spread, where the spread is half the distance between the 16 % and the 84 % quantile: one
  // standard deviation for a normal distribution. Clamped to +-kMost; 0 while the spread is 0.
  double standardise(double value) const;
  static constexpr double kMost = 8;

  // The values, oldest first, for a file; restore() keeps at most as many as the window holds.
  std::vector<double> values() const;
  void restore(const std::vector<double>& values);

 private:
  size_t window_;
  size_t oldest_ = 0;           // index in the full ring
  std::vector<double> ring_;    // in order of arrival
  std::vector<double> sorted_;  // the same values
};

}  // namespace moe
