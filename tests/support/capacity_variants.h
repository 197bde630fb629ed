// Options with which every capacity drops a large share of a small router's assignments, for tests that cover all
// capacities.
#pragma once
#include <map>
#include <string>

namespace moe::test {

// By kind, below `moe.capacity`, in YAML. A new kind must be added here.
inline const std::map<std::string, std::string>& capacity_variants() {
  static const std::map<std::string, std::string> variants = {
      {"dropless", "{kind: dropless}"},
      {"fixed", "{kind: fixed, factor: 0.6}"},
      {"needed", "{kind: needed, limit: 0.8, dropped: 0.3}"},
      {"complexity", "{kind: complexity, smallest: 0.4, largest: 0.6}"},
      {"bandit", "{kind: bandit, smallest: 0.4, largest: 0.6, arms: 3, hold: 1}"},
  };
  return variants;
}

}  // namespace moe::test
