#include "core/plan/link_fit.h"

#include <algorithm>

namespace moe {

// When noise makes large messages faster than small ones, no line fits: the largest one's rate is the best that is
// known.
static LinkFit without_slope(const std::vector<MessageTime>& times) {
  const auto fastest = std::min_element(
      times.begin(), times.end(), [](const MessageTime& a, const MessageTime& b) { return a.seconds < b.seconds; });
  return {fastest->seconds, times.back().bytes / times.back().seconds};
}

LinkFit fit_all_sizes(const std::vector<MessageTime>& times) {
  double w = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const MessageTime& p : times) {
    const double weight = 1 / (p.seconds * p.seconds);
    w += weight;
    x += weight * p.bytes;
    y += weight * p.seconds;
    xx += weight * p.bytes * p.bytes;
    xy += weight * p.bytes * p.seconds;
  }
  const double spread = w * xx - x * x, slope = spread > 0 ? (w * xy - x * y) / spread : 0;
  if (slope <= 0) return without_slope(times);
  return {std::max((y - slope * x) / w, 0.0), 1 / slope};
}

LinkFit fit_ends(const std::vector<MessageTime>& times) {
  const MessageTime &least = times.front(), &most = times.back();
  if (times.size() < 2 || most.seconds <= least.seconds) return without_slope(times);
  return {least.seconds, (most.bytes - least.bytes) / (most.seconds - least.seconds)};
}

}  // namespace moe
