// Cuts a split into overlapping windows so that each of its tokens but the very first is predicted exactly
// once.
#pragma once
#include <cstdint>

#include "data/evaluation_set.h"

namespace moe {

// Window i reads the tokens from i * stride on. All positions of window 0 are scored, of the others the last
// `stride`: so a scored token has at least context - stride tokens before it. stride == context is cheapest,
// stride 1 the most favourable; figures state both.
class EvaluationWindows : public EvaluationSet {
 public:
  // 1 <= stride <= context, else UsageError; a split of fewer than two tokens is a DataError. `tokens`: how many
  // leading ones are used; 0 = all.
  EvaluationWindows(const Split& split, int64_t context, int64_t stride, int64_t tokens = 0);

  int64_t num_windows() const { return num_windows_; }
  int64_t num_targets() const { return split_.num_tokens() - 1; }
  int64_t num_sequences() const override { return num_windows_; }
  int64_t num_tokens() const override { return num_targets(); }
  std::vector<std::pair<const char*, int64_t>> terms() const override {
    return {{"context", context_}, {"stride", stride_}};
  }
  std::string_view documents() const override { return "joined"; }
  std::optional<int64_t> raw_bytes() const override { return split_.raw_bytes(1, num_targets()); }

  // Windows first, first + 1, ... Positions that are not scored have kIgnoreTarget. Windows behind the last
  // one are ignored entirely, so that all ranks can take equal shares. sample_ids are the numbers of the
  // windows.
  void load(int64_t first, int64_t count, Batch& batch) const override;

 private:
  Split split_;
  int64_t context_;
  int64_t stride_;
  int64_t num_windows_ = 0;
};

}  // namespace moe
