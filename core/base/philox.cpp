#include "core/base/philox.h"

#include <cmath>

namespace moe {

std::array<float, 2> RandomKey::normal_pair(uint64_t element) const {
  const auto w = words(element);
  const double radius = std::sqrt(-2.0 * std::log((static_cast<double>(w[0]) + 0.5) * 0x1p-32));
  const double angle = 6.283185307179586 * (static_cast<double>(w[1]) * 0x1p-32);
  return {static_cast<float>(radius * std::cos(angle)), static_cast<float>(radius * std::sin(angle))};
}

float RandomKey::normal(uint64_t element) const {
  return normal_pair(element)[0];
}

}  // namespace moe
