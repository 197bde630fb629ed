// Labelled texts -> the arrays of a batch.
#pragma once
#include "data/batch_loader.h"
#include "data/texts/text_corpus.h"

namespace moe {

class TextLoader {
 public:
  // `trailing`: tokens of a sample after its text (a class token).
  explicit TextLoader(int64_t trailing) : trailing_(trailing) {}

  // Tokens of a sample; 0 for one past the split's end.
  int64_t length(const LabelledTexts& split, int64_t sample) const {
    return sample < split.size() ? split.length(sample) + trailing_ : 0;
  }
  // Loads visits[i] of the split, padded to `time` tokens. Samples past the split's end are ignored entirely: they have
  // no label, and all positions are padding. Positions of class tokens and padding have the id kPaddingToken.
  void load(const LabelledTexts& split, std::span<const SampleVisit> visits, int64_t time, Batch& batch) const;

 private:
  int64_t trailing_;
};

}  // namespace moe
