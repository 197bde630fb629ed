// curriculum: which samples form a step.
#pragma once
#include <array>

#include "core/config/choice.h"
#include "core/config/sample_signal.h"

namespace moe {

class CurriculumSampler;
template <>
const Table<Member>& family<CurriculumSampler>();

struct SignalsConfig : Fields<SignalsConfig> {
  std::array<double, kSampleSignals.size()> weight{};

  void fields(FieldVisitor& v) override;
};

struct CurriculumConfig : Fields<CurriculumConfig> {
  Choice<CurriculumSampler> sampler{"uniform"};
  SignalsConfig signals;
  double decay = 0.5;
  int64_t window = 256;
  std::string from;
  bool from_other_data = false;

  void fields(FieldVisitor& v) override;
};

}  // namespace moe
