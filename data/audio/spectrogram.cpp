#include "data/audio/spectrogram.h"

#include <fftw3.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>
#include <numbers>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

static int64_t samples_of(double milliseconds, int64_t rate) {
  return std::llround(milliseconds * static_cast<double>(rate) / 1000);
}

static int64_t fft_of(const AudioConfig& config) {
  return static_cast<int64_t>(std::bit_ceil(as_index(std::max<int64_t>(samples_of(config.window, config.rate), 2))));
}

// FFTW's planner, unlike its transforms, may be called by one thread at a time.
static std::mutex& planner() {
  static std::mutex mutex;
  return mutex;
}

struct Spectrogram::Transform {
  explicit Transform(int64_t samples) {
    std::vector<float> in(as_index(samples)), out(as_index(samples + 2));
    const std::lock_guard lock(planner());
    // FFTW_ESTIMATE measures nothing, so that every start chooses the same algorithm.
    plan = fftwf_plan_dft_r2c_1d(static_cast<int>(samples), in.data(), reinterpret_cast<fftwf_complex*>(out.data()),
                                 FFTW_ESTIMATE | FFTW_UNALIGNED);
    MOE_CHECK(plan != nullptr, "FFTW has no plan for {} samples", samples);
  }
  ~Transform() {
    const std::lock_guard lock(planner());
    fftwf_destroy_plan(plan);
  }
  Transform(const Transform&) = delete;

  fftwf_plan plan;
};

Spectrogram::Spectrogram(const AudioConfig& config)
    : hop_(samples_of(config.hop, config.rate)),
      frames_(0),
      fft_(fft_of(config)),
      range_(config.range),
      filters_(config.bands, config.lowest, config.highest_frequency(), fft_, config.rate),
      transform_(std::make_unique<Transform>(fft_)) {
  const int64_t window = samples_of(config.window, config.rate);
  if (hop_ < 1 || window < 2) {
    raise<UsageError>("data.audio: a window of {} ms and a hop of {} ms are {} and {} samples at {} Hz; expected more",
                      config.window, config.hop, window, hop_, config.rate);
  }
  frames_ = std::llround(config.seconds * static_cast<double>(config.rate)) / hop_;
  if (frames_ < 1) {
    raise<UsageError>("{}: {} s are shorter than a hop of {} ms", config.where("seconds"), config.seconds, config.hop);
  }
  for (int64_t i = 0; i < window; ++i) {  // periodic, as spectral analysis wants it
    hann_.push_back(static_cast<float>(
        0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) / static_cast<double>(window))));
  }
}

Spectrogram::~Spectrogram() = default;

void Spectrogram::power(std::span<const float> samples, std::span<float> mel) const {
  MOE_CHECK(std::ssize(mel) == frames_ * bands(), "{} values of a spectrogram; expected {}", mel.size(),
            frames_ * bands());
  const int64_t end = std::min(std::ssize(samples), frames_ * hop_);
  std::vector<float> windowed(as_index(fft_)), spectrum(as_index(fft_ + 2)), powers(as_index(fft_ / 2 + 1));
  for (int64_t frame = 0; frame < frames_; ++frame) {
    const int64_t start = frame * hop_ + (hop_ - window()) / 2;
    for (int64_t i = 0; i < window(); ++i) {
      const int64_t at = start + i;
      windowed[as_index(i)] = at >= 0 && at < end ? samples[as_index(at)] * hann_[as_index(i)] : 0;
    }
    fftwf_execute_dft_r2c(transform_->plan, windowed.data(), reinterpret_cast<fftwf_complex*>(spectrum.data()));
    for (size_t i = 0; i < powers.size(); ++i)
      powers[i] = spectrum[2 * i] * spectrum[2 * i] + spectrum[2 * i + 1] * spectrum[2 * i + 1];
    filters_.apply(powers, mel.subspan(as_index(frame * bands()), as_index(bands())));
  }
}

void Spectrogram::bytes(std::span<const float> samples, std::span<uint8_t> values) const {
  constexpr float kSilence = 1e-10f;  // a power below that of the last bit of 24-bit samples
  std::vector<float> mel(values.size());
  power(samples, mel);
  const float loudest = *std::max_element(mel.begin(), mel.end());
  if (!(loudest > kSilence)) {
    std::fill(values.begin(), values.end(), uint8_t{0});
    return;
  }
  const double steps = 255 / range_;
  for (size_t i = 0; i < mel.size(); ++i) {
    const double decibels =
        10 * std::log10(std::max(static_cast<double>(mel[i]) / static_cast<double>(loudest), 1e-30));
    values[i] = static_cast<uint8_t>(std::lround(std::clamp(255 + steps * decibels, 0.0, 255.0)));
  }
}

}  // namespace moe
