#include "core/step/local_batch.h"

#include <algorithm>
#include <utility>

#include "core/base/token.h"
#include "core/tensor/copy.h"

namespace moe {

LocalBatch LocalBatch::of(const Batch& batch, int64_t first_sequence, int64_t global_sequences) {
  return {.sequences = batch.sequences,
          .time = batch.length,
          .inputs = batch.inputs,
          .targets = batch.targets,
          .first_sequence = first_sequence,
          .global_sequences = global_sequences,
          .domains = batch.domains,
          .weights = {},
          .labels = batch.labels,
          .lengths = batch.lengths,
          .document_begins = batch.document_begins,
          .document_ends = batch.document_ends,
          .features = batch.features,
          .patch_features = batch.patch_features,
          .modalities = batch.modalities};
}

// `repeat` copies of each value in the wide dtype: in `buffer`, or the values themselves if no conversion is needed.
template <class From>
static ConstTensor widened(Context& ctx, std::span<const From> values, int64_t repeat, Shape shape,
                           std::vector<char>& buffer) {
  const DType dtype = wide(ctx.dtype);
  if (repeat == 1 && dtype == DTypeOf<From>::value)
    return to_device(ctx, BasicTensor<const void>{values.data(), shape, dtype, Device::cpu});
  buffer.resize(static_cast<size_t>(shape.size()) * size_of(dtype));
  const auto fill = [&]<class T>(T* to) {
    for (const From value : values) to = std::fill_n(to, repeat, static_cast<T>(value));
  };
  if (dtype == DType::f64) {
    fill(reinterpret_cast<double*>(buffer.data()));
  } else {
    fill(reinterpret_cast<float*>(buffer.data()));
  }
  return to_device(ctx, BasicTensor<const void>{buffer.data(), shape, dtype, Device::cpu});
}

TokenBatch to_device(Context& ctx, const LocalBatch& batch, Share part, int64_t predictions_per_sample,
                     BatchBuffers& buffers) {
  // The part's elements of a view with `each` elements per sequence.
  const auto of_part = [&]<class T>(std::span<const T> all, int64_t each) {
    return all.subspan(static_cast<size_t>(part.begin * each), static_cast<size_t>(part.count * each));
  };
  const auto ids = [&](std::span<const int32_t> all, int64_t each) {
    return all.empty() && batch.sequences > 0 ? ConstTensor() : to_device(ctx, as_tensor(of_part(all, each)));
  };
  TokenBatch result{
      .sequences = part.count * batch.modalities,
      .time = batch.time / batch.modalities,
      .ids = ids(batch.inputs, batch.time),
      .targets = ids(batch.targets, batch.time),
      .global_tokens = batch.global_tokens > 0 ? batch.global_tokens : batch.global_sequences * batch.time,
      .global_sequences = batch.global_sequences * batch.modalities};
  result.modalities = batch.modalities;
  const std::span<const int32_t> targets = of_part(batch.targets, batch.time);
  result.unscored = std::count(targets.begin(), targets.end(), kIgnoreTarget);
  if (!batch.domains.empty()) result.domains = ids(batch.domains, 1);
  if (!batch.weights.empty()) {
    result.weights = widened(ctx, of_part(batch.weights, 1), predictions_per_sample,
                             Shape{part.count * predictions_per_sample}, buffers.weights);
  }
  if (!batch.labels.empty() || batch.sequences == 0) result.labels = ids(batch.labels, 1);
  if (!batch.lengths.empty()) {
    result.host_lengths = of_part(batch.lengths, batch.modalities);
    result.lengths = ids(batch.lengths, batch.modalities);
  }
  if (!batch.document_begins.empty()) {
    result.document_begins = ids(batch.document_begins, batch.time);
    result.document_ends = ids(batch.document_ends, batch.time);
  }
  if (batch.patch_features > 0) {
    const int64_t each = batch.sequences > 0 ? std::ssize(batch.features) / batch.sequences : 0;
    result.features = widened(ctx, of_part(batch.features, each), 1,
                              Shape{part.count * each / batch.patch_features, batch.patch_features}, buffers.features);
  }
  return result;
}

}  // namespace moe
