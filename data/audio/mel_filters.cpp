#include "data/audio/mel_filters.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

// Linear below 1 kHz, then 27 mels for a factor of 6.4.
constexpr double kHertzPerMel = 200.0 / 3, kBreak = 1000, kBreakMel = kBreak / kHertzPerMel;
static const double kLogStep = std::log(6.4) / 27;

double mel_of(double hertz) {
  return hertz < kBreak ? hertz / kHertzPerMel : kBreakMel + std::log(hertz / kBreak) / kLogStep;
}

double hertz_of(double mel) {
  return mel < kBreakMel ? mel * kHertzPerMel : kBreak * std::exp((mel - kBreakMel) * kLogStep);
}

MelFilters::MelFilters(int64_t bands, double lowest, double highest, int64_t fft, int64_t rate) {
  if (lowest >= highest || 2 * highest > static_cast<double>(rate)) {
    raise<UsageError>(
        "data.audio: mel bands from {} Hz to {} Hz; expected lowest < highest and highest at most half of the rate, "
        "{} Hz",
        lowest, highest, static_cast<double>(rate) / 2);
  }
  const double low = mel_of(lowest), step = (mel_of(highest) - low) / static_cast<double>(bands + 1);
  const double spacing = static_cast<double>(rate) / static_cast<double>(fft);
  for (int64_t band = 0; band < bands; ++band) {
    const double left = hertz_of(low + static_cast<double>(band) * step),
                 centre = hertz_of(low + static_cast<double>(band + 1) * step),
                 right = hertz_of(low + static_cast<double>(band + 2) * step);
    Filter filter{static_cast<int64_t>(std::floor(left / spacing)) + 1, {}};
    for (int64_t i = filter.first; i <= fft / 2; ++i) {
      const double frequency = static_cast<double>(i) * spacing;
      const double height = std::min((frequency - left) / (centre - left), (right - frequency) / (right - centre));
      if (height <= 0) break;
      filter.weights.push_back(static_cast<float>(height * 2 / (right - left)));
    }
    if (filter.weights.empty()) {
      raise<UsageError>(
          "data.audio.bands: with {} bands, band {} from {:.1f} Hz to {:.1f} Hz holds no frequency of a window, which "
          "are {:.1f} Hz apart; use fewer bands or a longer window",
          bands, band, left, right, spacing);
    }
    filters_.push_back(std::move(filter));
  }
}

void MelFilters::apply(std::span<const float> power, std::span<float> mel) const {
  for (size_t band = 0; band < filters_.size(); ++band) {
    const Filter& filter = filters_[band];
    const float* from = power.data() + filter.first;
    float sum = 0;
    for (size_t i = 0; i < filter.weights.size(); ++i) sum += filter.weights[i] * from[i];
    mel[band] = sum;
  }
}

}  // namespace moe
