// Cuts a split into overlapping windows so that each of its tokens but the very first is predicted exactly
// once.
#pragma once
#include <cstdint>

#include "data/document_windows.h"

namespace moe {

// Window i reads the tokens from i * stride on. All positions of window 0 are scored, and the last `stride` of the
// others, so a scored token has at least context - stride tokens before it. stride == context is the cheapest setting,
// stride 1 gives the lowest loss; results state both values.
class EvaluationWindows : public EvaluationSet {
 public:
  // Throws UsageError unless 1 <= stride <= context, and DataError for a split of fewer than two tokens. `tokens`:
  // number of leading tokens that are used; 0 = all. `mode`: joined or separate; with separate the first tokens of
  // documents are not predicted.
  EvaluationWindows(const Split& split, int64_t context, int64_t stride, int64_t tokens = 0,
                    DocumentMode mode = DocumentMode::joined);

  int64_t num_windows() const { return num_windows_; }
  int64_t num_targets() const { return split_.num_tokens() - 1; }
  int64_t num_sequences() const override { return num_windows_; }
  int64_t num_tokens() const override { return num_predictions_; }
  std::vector<std::pair<const char*, int64_t>> terms() const override {
    return {{"context", context_}, {"stride", stride_}};
  }
  std::string_view documents() const override { return name_of(mode_); }
  bool has_sources() const override { return split_.has_documents(); }
  void target_sources(const Batch& batch, std::vector<int32_t>& sources) const override {
    write_target_sources(split_, batch, sources);
  }
  std::optional<int64_t> raw_bytes() const override { return predicted_bytes(split_, mode_); }
  std::optional<UnknownText> unknown() const override { return predicted_unknown(split_, mode_); }

  // Loads windows first, first + 1, ... Positions that are not scored have kIgnoreTarget. Windows past the last one are
  // ignored entirely, so that all ranks can take equal shares. sample_ids are the indices of the windows.
  void load(int64_t first, int64_t count, Batch& batch) const override;

 private:
  bool is_separate() const { return mode_ == DocumentMode::separate; }

  Split split_;
  int64_t context_;
  int64_t stride_;
  DocumentMode mode_;
  int64_t num_windows_ = 0, num_predictions_ = 0;
};

}  // namespace moe
