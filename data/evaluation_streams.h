// Cuts a split into streams that are read in parallel, each in consecutive segments, for models with a context memory
// of the preceding segments. Each token but the very first is predicted exactly once.
#pragma once
#include <cstdint>

#include "data/document_windows.h"

namespace moe {

// Stream r predicts the r-th of `streams` equal parts of the split; the last part may be shorter. Every stream starts
// with an empty memory, so the result depends on the number of streams, which is stated with it. With one stream each
// token is predicted from all that the model can attend to. Sequence s * streams + r is segment s of stream r.
class EvaluationStreams : public EvaluationSet {
 public:
  // context: tokens of a segment; memory: positions that the model remembers; `tokens`: number of leading tokens of the
  // split that are used, 0 = all. The number of streams is at most the number of predictions. Throws UsageError for a
  // context or streams below 1, DataError for a split of fewer than two tokens.
  EvaluationStreams(const Split& split, int64_t context, int64_t streams, int64_t memory, int64_t tokens = 0);

  int64_t num_targets() const { return split_.num_tokens() - 1; }
  int64_t streams() const override { return streams_; }
  int64_t segments() const { return (per_stream_ + context_ - 1) / context_; }
  int64_t num_sequences() const override { return segments() * streams_; }
  int64_t num_tokens() const override { return count_predictions(split_, 1, num_targets(), DocumentMode::joined); }
  std::vector<std::pair<const char*, int64_t>> terms() const override {
    return {{"context", context_}, {"stride", context_}, {"memory", memory_}, {"streams", streams_}};
  }
  std::string_view documents() const override { return name_of(DocumentMode::joined); }
  std::optional<int64_t> raw_bytes() const override { return predicted_bytes(split_, DocumentMode::joined); }
  std::optional<UnknownText> unknown() const override { return predicted_unknown(split_, DocumentMode::joined); }
  void load(int64_t first, int64_t count, Batch& batch) const override;

 private:
  Split split_;
  int64_t context_, streams_, memory_;
  int64_t per_stream_;  // predictions per stream; the last one may have fewer
};

}  // namespace moe
