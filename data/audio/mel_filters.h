// Triangular filters whose centres have equal distances on the mel scale. The scale and the filters' height are those
// of M. Slaney's "Auditory Toolbox" (Interval Research, Technical Report 1998-010), which librosa and Whisper use:
//   mel(f) = 3 f / 200 below 1000 Hz, 15 + 27 ln(f / 1000) / ln(6.4) from there;
//   a filter from f0 over its centre f1 to f2 has the height 2 / (f2 - f0), so that its area is 1.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace moe {

double mel_of(double hertz);
double hertz_of(double mel);

class MelFilters {
 public:
  // `fft`: number of samples of the transform, `rate` in Hz. Throws UsageError, which names the keys of data.audio, for
  // frequencies that are no range below half of the rate, and for so many bands that one holds no frequency of the
  // transform.
  MelFilters(int64_t bands, double lowest, double highest, int64_t fft, int64_t rate);

  int64_t bands() const { return static_cast<int64_t>(filters_.size()); }
  // power (fft / 2 + 1) of the frequencies i * rate / fft -> mel (bands)
  void apply(std::span<const float> power, std::span<float> mel) const;

 private:
  struct Filter {
    int64_t first = 0;
    std::vector<float> weights;  // of the frequencies first, first + 1, ...
  };
  std::vector<Filter> filters_;
};

}  // namespace moe
