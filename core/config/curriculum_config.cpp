#include "core/config/curriculum_config.h"

namespace moe {

void SignalsConfig::fields(FieldVisitor& v) {
  for (size_t i = 0; i < weight.size(); ++i) {
    v.field(kSampleSignals[i].name, weight[i], kSampleSignals[i].help, {-1e6, 1e6});
  }
}

void CurriculumConfig::fields(FieldVisitor& v) {
  v.choice("sampler", sampler, "How the samples of a step are drawn.");
  v.group("signals", signals,
          "Weights of the signals in a sample's difficulty score, which is the weighted sum of standardised signals. "
          "If all are 0, the score is the loss if the sampler needs a score; otherwise nothing is measured.");
  v.field("decay", decay, "decay of the moving averages over a sample's visits: the weight of earlier visits",
          {0, 0.999});
  v.field("window", window, "number of uniformly drawn samples whose quantiles standardise a signal", {8, 1 << 16});
  v.field("from", from,
          "run, checkpoint or difficulty.bin from which this run takes its initial difficulty store; empty = none");
  v.field("from_other_data", from_other_data,
          "accept a store that describes other data: each sample gets the difficulty of the sample at the same "
          "relative position");
}

}  // namespace moe
