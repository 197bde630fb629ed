#include "data/evaluation_windows.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

EvaluationWindows::EvaluationWindows(const Split& split, int64_t context, int64_t stride, int64_t tokens)
    : split_(split.slice(split.name(), 0, tokens > 0 ? std::min(tokens, split.num_tokens()) : split.num_tokens())),
      context_(context),
      stride_(stride) {
  if (context < 1 || stride < 1 || stride > context) {
    raise<UsageError>("evaluation with a stride of {} and a context of {}; expected 1 <= stride <= context", stride,
                      context);
  }
  if (split_.num_tokens() < 2) {
    raise<DataError>("split {} has {} tokens; evaluation needs at least 2", split_.name(), split_.num_tokens());
  }
  num_windows_ = 1 + (std::max<int64_t>(0, num_targets() - context) + stride - 1) / stride;
}

void EvaluationWindows::load(int64_t first, int64_t count, Batch& batch) const {
  batch.resize(count, context_);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t window = first + i;
    const int64_t start = window * stride_;
    const bool exists = window < num_windows_;
    int32_t* inputs = batch.inputs.data() + i * context_;
    int32_t* targets = batch.targets.data() + i * context_;
    const int64_t available = exists ? std::min(context_, num_targets() - start) : 0;
    if (available > 0) {
      split_.read(start, available, inputs);
      split_.read(start + 1, available, targets);
    }
    const int64_t unscored = window == 0 ? 0 : std::min(context_ - stride_, available);
    std::fill(inputs + available, inputs + context_, kPaddingToken);
    std::fill(targets, targets + unscored, kIgnoreTarget);
    std::fill(targets + available, targets + context_, kIgnoreTarget);
    batch.sample_ids[as_index(i)] = window;
    batch.domains[as_index(i)] = split_.part_of(start);
  }
}

}  // namespace moe
