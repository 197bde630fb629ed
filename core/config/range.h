// The range of values that a configuration field may have.
#pragma once
#include <limits>
#include <string>

#include "core/base/check.h"

namespace moe {

template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();
  T max = std::numeric_limits<T>::max();
  // The key of another field whose value is an upper bound, or null. The code that has both values checks this bound.
  const char* at_most = nullptr;

  bool has_min() const { return min != std::numeric_limits<T>::lowest(); }
  bool has_max() const { return max != std::numeric_limits<T>::max(); }
  bool contains(T value) const { return value >= min && value <= max; }
};

// Text for error messages after "must be": "between 0 and 1", "at least 0".
template <class T>
std::string requirement(const Range<T>& range) {
  const std::string bound = range.at_most ? fmt::format(" ({})", range.at_most) : "";
  if (range.has_min() && range.has_max()) return fmt::format("between {} and {}{}", range.min, range.max, bound);
  if (range.has_max()) return fmt::format("at most {}{}", range.max, bound);
  return fmt::format("at least {}", range.min);
}

// Text for documentation after the type: ", 0 to 1", ", at least 0", ", 1 to `moe.experts`"; empty if any value is
// allowed.
template <class T>
std::string in_words(const Range<T>& range) {
  const std::string upper = range.at_most ? fmt::format("`{}`", range.at_most) : fmt::format("{}", range.max);
  const bool has_max = range.has_max() || range.at_most;
  if (range.has_min() && has_max) return fmt::format(", {} to {}", range.min, upper);
  if (range.has_min()) return fmt::format(", at least {}", range.min);
  return has_max ? fmt::format(", at most {}", upper) : "";
}

}  // namespace moe
