// Options under which every capacity drops a good part of what a small router sends, for the tests that all must pass.
#pragma once
#include <map>
#include <string>

namespace moe::test {

// By kind, below `moe.capacity`, in YAML. Whoever adds a kind adds it here.
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
