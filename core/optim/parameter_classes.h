// Which of a parameter buffer's elements the optimizer treats how: classes of parameters, told apart by what they are
// part of, each with its factors on learning rate and weight decay (optimizer.classes).
#pragma once
#include "core/config/train_config.h"
#include "core/nn/parameter.h"

namespace moe {

// Elements [begin, begin + count) of a buffer.
struct ParameterRange {
  int64_t begin, count;
  double learning_rate, weight_decay;  // factors
};

// The class that a parameter is of.
const ParameterClassConfig& class_of(const Parameter& parameter, const ParameterClassesConfig& classes);
// Covers the group's buffer; neighbours with equal factors are one range.
std::vector<ParameterRange> parameter_ranges(ParameterStore& parameters, ParameterGroup group,
                                             const ParameterClassesConfig& classes);

}  // namespace moe
