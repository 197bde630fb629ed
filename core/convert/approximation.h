// How much an exported model that is not exact differs from the trained one.
#pragma once
#include <cstdint>
#include <string>

namespace moe {

struct Gap {
  double trained = 0, exported = 0;  // nats per token
  double tokens = 0;
  std::string data;  // what it was measured on
};

// Reads the exported folder back and evaluates both models on the validation text of the run, or on `data` unless it is
// empty: at most `tokens` leading tokens. On the CPU in f32. Throws the errors of reading and evaluating.
Gap measure_gap(const std::string& checkpoint, const std::string& exported, const std::string& data, int64_t tokens);

}  // namespace moe
