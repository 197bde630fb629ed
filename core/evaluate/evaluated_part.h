// The sums of an evaluation over pieces of the evaluated set.
#pragma once
#include <cstdint>

namespace moe {

// A piece of the evaluated set: consecutive sequences. How much a result depends on the text is seen from how much it
// differs between pieces.
struct EvaluatedPart {
  double loss = 0, tokens = 0, correct = 0;  // sums over its predictions, nats
};
constexpr int64_t kMostEvaluatedParts = 100;

}  // namespace moe
