#include "core/generate/sampling.h"

#include <algorithm>
#include <cmath>

namespace moe {

// Pops candidates from a heap, so that a vocabulary is not sorted for the few tokens that are likely.
void TokenSampler::keep_likely(const SamplingOptions& options) {
  const auto less_likely = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight < b.weight : a.id > b.id;
  };
  const size_t most =
      options.top_k > 0 ? std::min(static_cast<size_t>(options.top_k), candidates_.size()) : candidates_.size();
  std::make_heap(candidates_.begin(), candidates_.end(), less_likely);
  // Popped candidates gather behind the heap, the most likely one last.
  const auto pop = [&](size_t count) {
    std::pop_heap(candidates_.begin(), candidates_.end() - static_cast<std::ptrdiff_t>(count), less_likely);
    return candidates_[candidates_.size() - 1 - count].weight;
  };
  size_t count = 0;
  double total = 0;
  if (options.top_k > 0) {
    while (count < most) total += pop(count++);
  } else {
    for (const Candidate& candidate : candidates_) total += candidate.weight;
  }
  if (options.top_p < 1) {
    const double enough = options.top_p * total;
    double sum = 0;
    size_t kept = 0;
    while (kept < most && (kept == 0 || sum < enough)) {
      if (kept == count) pop(count++);
      sum += candidates_[candidates_.size() - 1 - kept++].weight;
    }
    count = kept;
  } else if (options.top_k == 0) {
    return;
  }
  std::reverse(candidates_.begin(), candidates_.end());
  candidates_.resize(count);
}

int32_t TokenSampler::draw(std::span<const float> logits, int64_t vocab, const SamplingOptions& options,
                           std::span<const int32_t> text, double uniform) {
  const float* own = logits.data();
  if (options.repetition_penalty != 1) {
    changed_.assign(logits.begin(), logits.begin() + vocab);
    const auto penalty = static_cast<float>(options.repetition_penalty);
    for (const int32_t id : text) {
      const float before = logits[static_cast<size_t>(id)];
      changed_[static_cast<size_t>(id)] = before > 0 ? before / penalty : before * penalty;
    }
    own = changed_.data();
  }
  const auto best = static_cast<int32_t>(std::max_element(own, own + vocab) - own);
  if (options.temperature <= 0) return best;
  candidates_.clear();
  for (int64_t i = 0; i < vocab; ++i) {
    const double weight =
        std::exp((static_cast<double>(own[i]) - static_cast<double>(own[best])) / options.temperature);
    candidates_.push_back({weight, static_cast<int32_t>(i)});
  }
  if (options.top_k > 0 || options.top_p < 1) keep_likely(options);
  if (options.min_p > 0) std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < options.min_p; });
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  double left = uniform * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0) return candidate.id;
  }
  return best;  // rounding
}

}  // namespace moe
