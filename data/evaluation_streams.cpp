#include "data/evaluation_streams.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"

namespace moe {

EvaluationStreams::EvaluationStreams(const Split& split, int64_t context, int64_t streams, int64_t memory,
                                     int64_t tokens)
    : split_(split.slice(split.name(), 0, tokens > 0 ? std::min(tokens, split.num_tokens()) : split.num_tokens())),
      context_(context),
      streams_(streams),
      memory_(memory) {
  if (context < 1 || streams < 1)
    raise<UsageError>("evaluation of {} streams with a context of {}; both must be at least 1", streams, context);
  if (split_.num_tokens() < 2) {
    raise<DataError>("split {} has {} tokens; evaluation needs at least 2", split_.name(), split_.num_tokens());
  }
  streams_ = std::min(streams, num_targets());
  per_stream_ = (num_targets() + streams_ - 1) / streams_;
}

void EvaluationStreams::load(int64_t first, int64_t count, Batch& batch) const {
  load_windows(split_, count, context_, batch, [&](int64_t i) -> Window {
    const int64_t segment = (first + i) / streams_, stream = (first + i) % streams_;
    const int64_t start = std::min(num_targets(), stream * per_stream_ + segment * context_);
    const int64_t end = std::min(num_targets(), (stream + 1) * per_stream_);
    return {start, std::clamp<int64_t>(end - start, 0, segment < segments() ? context_ : 0)};
  });
  for (int64_t i = 0; i < count; ++i) batch.sample_ids[as_index(i)] = first + i;
}

}  // namespace moe
