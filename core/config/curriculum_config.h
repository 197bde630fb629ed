// curriculum: which samples a step is made of.
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

  void fields(FieldVisitor& v) override {
    for (size_t i = 0; i < weight.size(); ++i) {
      v.field(kSampleSignals[i].name, weight[i], kSampleSignals[i].help, {-1e6, 1e6});
    }
  }
};

struct CurriculumConfig : Fields<CurriculumConfig> {
  Choice<CurriculumSampler> sampler{"uniform"};
  SignalsConfig signals;
  double decay = 0.5;
  int64_t window = 256;
  std::string from;
  bool from_other_data = false;

  void fields(FieldVisitor& v) override {
    v.choice("sampler", sampler, "How a step's samples are drawn.");
    v.group("signals", signals,
            "The score of a sample's difficulty: a sum of signals, each standardised, with these weights. All 0: the "
            "loss alone where the sampler needs a score, else nothing is measured.");
    v.field("decay", decay, "of the moving averages over a sample's visits: the share that the past keeps", {0, 0.999});
    v.field("window", window, "evenly drawn samples whose quantiles standardise a signal", {8, 1 << 16});
    v.field("from", from, "a run, a checkpoint or a difficulty.bin whose store this run starts with");
    v.field("from_other_data", from_other_data,
            "take that store although it describes other data: a sample gets the difficulty of the one at the same "
            "relative place");
  }
};

}  // namespace moe
