#include "core/base/philox.h"

#include <cmath>

namespace moe {

float RandomKey::normal(uint64_t element) const {
  const auto w = words(element);
  const double radius = std::sqrt(-2.0 * std::log((static_cast<double>(w[0]) + 0.5) * 0x1p-32));
  return static_cast<float>(radius * std::cos(6.283185307179586 * (static_cast<double>(w[1]) * 0x1p-32)));
}

}  // namespace moe
