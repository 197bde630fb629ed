// The difficulty signals that a training step measures for each of its samples. Larger means harder, except for
// `progress`.
#pragma once
#include <array>
#include <bitset>

namespace moe {

enum class SampleSignal : int {
  loss,
  confidence,
  entropy,
  expert_variance,
  gradient,
  router_entropy,
  router_uncertainty,
  progress
};

struct SampleSignalInfo {
  const char* name;
  const char* help;
};

// In the order of the enumeration. The step measures all but the last, each as a mean over the sample's scored tokens;
// `progress` is computed from the losses of two visits.
inline constexpr std::array kSampleSignals = {
    SampleSignalInfo{"loss", "weight of the mean loss, -ln p of the target"},
    SampleSignalInfo{"confidence", "weight of 1 - mean p of the target"},
    SampleSignalInfo{"entropy", "weight of the mean entropy of the prediction"},
    SampleSignalInfo{"expert_variance", "weight of the mean variance among the outputs of a token's chosen experts"},
    SampleSignalInfo{"gradient", "weight of an upper bound on the norm of the sample's gradient"},
    SampleSignalInfo{"router_entropy", "weight of the mean entropy of the routers' probabilities"},
    SampleSignalInfo{"router_uncertainty", "weight of the mean uncertainty of the routers (moe.router: bayesian)"},
    SampleSignalInfo{"progress", "weight of the decrease of the loss since the last visit"},
};
constexpr int kNumSampleSignals = static_cast<int>(kSampleSignals.size());
constexpr int kNumMeasuredSignals = kNumSampleSignals - 1;

using SampleSignalSet = std::bitset<kNumSampleSignals>;

constexpr size_t index_of(SampleSignal signal) {
  return static_cast<size_t>(signal);
}

}  // namespace moe
