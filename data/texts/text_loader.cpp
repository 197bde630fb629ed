#include "data/texts/text_loader.h"

#include <algorithm>

#include "core/base/check.h"

namespace moe {

void TextLoader::load(const LabelledTexts& split, std::span<const SampleVisit> visits, int64_t time,
                      Batch& batch) const {
  batch.resize_texts(std::ssize(visits), time);
  for (size_t i = 0; i < visits.size(); ++i) {
    const int64_t sample = visits[i].sample, tokens = length(split, sample);
    MOE_CHECK(tokens <= time, "a text of {} tokens does not fit into {}", tokens, time);
    const bool exists = sample < split.size();
    int32_t* const inputs = batch.inputs.data() + static_cast<int64_t>(i) * time;
    int32_t* const targets = batch.targets.data() + static_cast<int64_t>(i) * time;
    std::fill_n(inputs, time, kPaddingToken);
    if (exists) std::copy_n(split.tokens(sample).begin(), split.length(sample), inputs);
    std::fill_n(targets, tokens, 0);
    std::fill_n(targets + tokens, time - tokens, kIgnoreTarget);
    batch.lengths[i] = static_cast<int32_t>(tokens);
    batch.labels[i] = exists ? split.label(sample) : kIgnoreTarget;
    batch.sample_ids[i] = sample;
  }
}

}  // namespace moe
