#include "data/evaluation_windows.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

EvaluationWindows::EvaluationWindows(const Split& split, int64_t context, int64_t stride, int64_t tokens,
                                     DocumentMode mode)
    : split_(split.slice(split.name(), 0, tokens > 0 ? std::min(tokens, split.num_tokens()) : split.num_tokens())),
      context_(context),
      stride_(stride),
      mode_(mode) {
  expect_documents(split_, mode);
  if (context < 1 || stride < 1 || stride > context) {
    raise<UsageError>("evaluation with a stride of {} and a context of {}; expected 1 <= stride <= context", stride,
                      context);
  }
  if (split_.num_tokens() < 2) {
    raise<DataError>("split {} has {} tokens; evaluation needs at least 2", split_.name(), split_.num_tokens());
  }
  num_predictions_ = count_predictions(split_, 1, num_targets(), mode_);
  num_windows_ = 1 + (std::max<int64_t>(0, num_targets() - context) + stride - 1) / stride;
}

void EvaluationWindows::load(int64_t first, int64_t count, Batch& batch) const {
  load_windows(
      split_, count, context_, batch,
      [&](int64_t i) -> Window {
        const int64_t window = first + i, start = window * stride_;
        if (window >= num_windows_) return {};
        const int64_t tokens = std::min(context_, num_targets() - start);
        return {start, tokens, window == 0 ? 0 : std::min(context_ - stride_, tokens)};
      },
      is_separate());
  for (int64_t i = 0; i < count; ++i) batch.sample_ids[as_index(i)] = first + i;
}

}  // namespace moe
