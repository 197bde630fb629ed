// Cuts a split into overlapping windows so that each of its tokens but the very first is predicted exactly
// once.
#pragma once
#include <cstdint>

#include "data/batch_loader.h"

namespace moe {

// Window i reads the tokens from i * stride on. All positions of window 0 are scored, of the others the last
// `stride`: so a scored token has at least context - stride tokens before it. stride == context is cheapest,
// stride 1 the most favourable; figures state both.
class EvaluationWindows {
 public:
  // 1 <= stride <= context, else UsageError; a split of fewer than two tokens is a DataError.
  EvaluationWindows(const Split& split, int64_t context, int64_t stride);

  int64_t num_windows() const { return num_windows_; }
  int64_t num_targets() const { return split_.num_tokens() - 1; }

  // Windows first, first + 1, ... Positions that are not scored have kIgnoreTarget. Windows behind the last
  // one are ignored entirely, so that all ranks can take equal shares. sample_ids are the numbers of the
  // windows.
  void load(int64_t first, int64_t count, Batch& batch) const;

 private:
  const Split& split_;
  int64_t context_;
  int64_t stride_;
  int64_t num_windows_ = 0;
};

}  // namespace moe
