#include "core/inspect/text_variation.h"

#include <algorithm>
#include <tuple>

#include "core/inspect/resampling.h"

namespace moe {

static bool have_same_parts(std::span<const PairedParts> pairs) {
  const std::vector<EvaluatedPart>& first = *pairs.front().baseline;
  const auto agrees = [&](const std::vector<EvaluatedPart>& parts) {
    return std::equal(parts.begin(), parts.end(), first.begin(), first.end(),
                      [](const EvaluatedPart& a, const EvaluatedPart& b) { return a.tokens == b.tokens; });
  };
  return std::all_of(pairs.begin(), pairs.end(),
                     [&](const PairedParts& pair) { return agrees(*pair.config) && agrees(*pair.baseline); });
}

TextInterval difference_over_text(std::span<const PairedParts> pairs, bool by_accuracy, double factor) {
  TextInterval result;
  if (pairs.empty() || pairs.front().baseline->size() < kFewestParts || !have_same_parts(pairs)) return result;
  const size_t parts = pairs.front().baseline->size();
  const double EvaluatedPart::*sum = by_accuracy ? &EvaluatedPart::correct : &EvaluatedPart::loss;
  std::vector<double> differences(parts), tokens(parts);
  for (size_t i = 0; i < parts; ++i) {
    for (const PairedParts& pair : pairs) {
      differences[i] += ((*pair.config)[i].*sum - (*pair.baseline)[i].*sum) / static_cast<double>(pairs.size());
    }
    tokens[i] = (*pairs.front().baseline)[i].tokens;
  }
  std::tie(result.low, result.high) = resampled_interval(kResamplings, parts, [&](const Resample& resample) {
    double difference = 0, count = 0;
    for (const size_t i : resample) difference += differences[i], count += tokens[i];
    return factor * difference / count;
  });
  if (result.low > result.high) std::swap(result.low, result.high);
  result.parts = static_cast<int64_t>(parts);
  return result;
}

}  // namespace moe
