// Every optimizer with its default options, and with options that change its rule or its state.
#pragma once
#include <string>
#include <vector>

#include "core/config/train_config.h"

namespace moe::test {

// Below `optimizer`, in YAML.
inline std::vector<std::string> optimizer_variants() {
  std::vector<std::string> variants{"{kind: sgd, momentum: 0}", "{kind: sgd, nesterov: true}",
                                    "{kind: adamw, first_moment: bf16}"};
  for (const Member& optimizer : family<Optimizer>()) variants.push_back("{kind: " + optimizer.name + "}");
  return variants;
}

}  // namespace moe::test
