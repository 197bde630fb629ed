#include "core/moe/causality_probe.h"

#include <algorithm>
#include <cmath>

namespace moe {

Causality probe_causality(int64_t sequences, int64_t time, const TokenOutputs& outputs, double tolerance) {
  const auto tokens = static_cast<size_t>(sequences * time);
  std::vector<bool> changed(tokens);
  const std::vector<double> base = outputs(changed);
  const size_t width = tokens == 0 ? 0 : base.size() / tokens;
  Causality found = Causality::causal;
  for (int64_t s = 0; s < sequences; ++s) {
    for (const int64_t place : {time - 1, time / 2, int64_t{1}}) {
      if (place < 1 || place >= time) continue;
      for (size_t t = 0; t < tokens; ++t) {
        const auto token = static_cast<int64_t>(t);
        changed[t] = token / time == s && token % time >= place;
      }
      const std::vector<double> now = outputs(changed);
      for (size_t i = 0; i < base.size(); ++i) {
        const size_t t = i / width;
        if (changed[t] || std::abs(now[i] - base[i]) <= tolerance * std::max(1.0, std::abs(base[i]))) continue;
        const bool same_sequence = static_cast<int64_t>(t) / time == s;
        found = std::max(found, same_sequence ? Causality::sequence : Causality::batch);
      }
    }
  }
  return found;
}

}  // namespace moe
