// The quantiles of the latest numbers of a stream, and numbers standardised by them.
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
  // Linear between neighbours; q in [0, 1]. 0 when there is nothing yet.
  double quantile(double q) const;
  // (value - median) / spread, where the spread is half of what lies between the 16 % and the 84 % quantile: one
  // standard deviation of a normal distribution. Within +-kMost; 0 while there is no spread.
  double standardise(double value) const;
  static constexpr double kMost = 8;

  // The numbers, oldest first, for a file; restore() takes no more than the window has.
  std::vector<double> values() const;
  void restore(const std::vector<double>& values);

 private:
  size_t window_;
  size_t oldest_ = 0;           // place in the full ring
  std::vector<double> ring_;    // in order of arrival
  std::vector<double> sorted_;  // the same numbers
};

}  // namespace moe
