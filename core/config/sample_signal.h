// The signals of difficulty: what a training step tells of each of its samples. Larger means harder, but for
// `progress`.
#pragma once
#include <array>
#include <bitset>

namespace moe {

enum class SampleSignal : int { loss, confidence, entropy, expert_variance, gradient, router_entropy, progress };

struct SampleSignalInfo {
  const char* name;
  const char* help;
};

// In the order of the enumeration. All but the last are measured by the step itself, each a mean over the sample's
// scored tokens; `progress` follows from the losses of two visits.
inline constexpr std::array kSampleSignals = {
    SampleSignalInfo{"loss", "weight of the mean -ln p of the target"},
    SampleSignalInfo{"confidence", "weight of 1 - mean p of the target"},
    SampleSignalInfo{"entropy", "weight of the mean entropy of the prediction"},
    SampleSignalInfo{"expert_variance", "weight of the mean variance among the outputs of a token's chosen experts"},
    SampleSignalInfo{"gradient", "weight of a bound on the norm of the sample's gradient"},
    SampleSignalInfo{"router_entropy", "weight of the mean entropy of the routers' probabilities"},
    SampleSignalInfo{"progress", "weight of the drop of the loss since the last visit"},
};
constexpr int kNumSampleSignals = static_cast<int>(kSampleSignals.size());
constexpr int kNumMeasuredSignals = kNumSampleSignals - 1;

using SampleSignalSet = std::bitset<kNumSampleSignals>;

constexpr size_t index_of(SampleSignal signal) {
  return static_cast<size_t>(signal);
}

}  // namespace moe
