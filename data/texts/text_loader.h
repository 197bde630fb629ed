// Labelled texts -> the arrays of a batch.
#pragma once
#include "data/batch_loader.h"
#include "data/texts/text_corpus.h"

namespace moe {

class TextLoader {
 public:
  // `trailing`: tokens of a sample behind its text (a class token).
  explicit TextLoader(int64_t trailing) : trailing_(trailing) {}

  // Tokens of a sample; 0 of one beyond the split's end.
  int64_t length(const LabelledTexts& split, int64_t sample) const {
    return sample < split.size() ? split.length(sample) + trailing_ : 0;
  }
  // visits[i] of the split, padded to `time` tokens. Samples beyond the split's end are ignored entirely: no label, all
  // padding. What stands in the place of a class token or of padding has the id kPaddingToken.
  void load(const LabelledTexts& split, std::span<const SampleVisit> visits, int64_t time, Batch& batch) const;

 private:
  int64_t trailing_;
};

}  // namespace moe
