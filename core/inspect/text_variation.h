// How much a difference between two configurations depends on the text that they are evaluated on.
#pragma once
#include <limits>
#include <span>
#include <vector>

#include "core/evaluate/evaluated_part.h"
#include "core/inspect/paired_difference.h"

namespace moe {

// The parts of one evaluation of a configuration and of the baseline, with the same seed.
struct PairedParts {
  const std::vector<EvaluatedPart>* config;
  const std::vector<EvaluatedPart>* baseline;
};

struct TextInterval {
  double low = std::numeric_limits<double>::quiet_NaN(), high = low;  // 95 %; NaN without an interval
  int64_t parts = 0;
};

// The interval of the mean difference when the parts of the text are drawn again (a bootstrap over blocks: neighbouring
// predictions depend on each other), with the runs as they are. `by_accuracy`: the share of correct predictions instead
// of the mean loss is compared. The result is `factor` times that difference. Without an interval unless all pairs have
// the same parts, at least kFewestParts of them.
TextInterval difference_over_text(std::span<const PairedParts> pairs, bool by_accuracy, double factor);

constexpr size_t kFewestParts = 10;

}  // namespace moe
