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
  void fields(FieldVisitor& v) override {
    v.field("learning_rate", learning_rate, "factor on the learning rate of this class; 0 freezes its parameters",
            {0, 1e6});
    v.field("weight_decay", weight_decay, "factor on the weight decay of this class", {0, 1e6});
  }
};

// Each parameter belongs to the first class that matches it.
struct ParameterClassesConfig : Fields<ParameterClassesConfig> {
  ParameterClassConfig vectors, embeddings, head, routers, experts, attention, dense;
  ParameterClassesConfig() { vectors.weight_decay = 0; }
  void fields(FieldVisitor& v) override {
    v.group("vectors", vectors, "Norms, biases, learned temperatures and tables that are not matrices of the model.");
    v.group("embeddings", embeddings,
            "Embeddings of tokens, patches and positions; with tied embeddings also the head.");
    v.group("head", head, "The output head.");
    v.group("routers", routers, "Routers and other parameters of strategies.");
    v.group("experts", experts, "Routed experts.");
    v.group("attention", attention, "Attention projections.");
    v.group("dense", dense, "Dense feed-forward layers and shared experts.");
  }
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
