// Classes of parameters: which elements of a parameter buffer the optimizer treats alike. A parameter's class follows
// from its role; each class has its factors on learning rate and weight decay (optimizer.classes).
#pragma once
#include <vector>

#include "core/config/fields.h"
#include "core/nn/parameter.h"

namespace moe {

// Factors on the learning rate and the weight decay of one class of parameters.
struct ParameterClassConfig : Fields<ParameterClassConfig> {
  double learning_rate = 1, weight_decay = 1;
  void fields(FieldVisitor& v) override;
};

// Each parameter belongs to the first class that matches it.
struct ParameterClassesConfig : Fields<ParameterClassesConfig> {
  ParameterClassConfig vectors, embeddings, head, routers, experts, attention, dense;
  ParameterClassesConfig() { vectors.weight_decay = 0; }
  void fields(FieldVisitor& v) override;
};

// Elements [begin, begin + count) of a buffer.
struct ParameterRange {
  int64_t begin, count;
  double learning_rate, weight_decay;  // factors
};

// The class that a parameter belongs to.
const ParameterClassConfig& class_of(const Parameter& parameter, const ParameterClassesConfig& classes);
// Covers the group's buffer; neighbours with equal factors are one range.
std::vector<ParameterRange> parameter_ranges(ParameterStore& parameters, ParameterGroup group,
                                             const ParameterClassesConfig& classes);

}  // namespace moe
