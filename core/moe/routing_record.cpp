#include "core/moe/routing_record.h"

#include <algorithm>
#include <type_traits>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/tensor/copy.h"

namespace moe {

// Appends these rows of x (tokens, width) to the list.
template <class T>
static void append_rows(Context& ctx, std::vector<T>& list, ConstTensor x, const std::vector<int64_t>& rows) {
  std::vector<T> all;
  if constexpr (std::is_same_v<T, int32_t>) {
    append_integers(ctx, all, x);
  } else {
    append_floats(ctx, all, x);
  }
  const int64_t width = x.dim(1);
  for (const int64_t row : rows) {
    const auto begin = all.begin() + row * width;
    list.insert(list.end(), begin, begin + width);
  }
}

// The rows of a micro-batch that are recorded: without padding, and only scored ones if that is asked for.
static std::vector<int64_t> recorded_rows(Context& ctx, const TokenBatch& batch, int64_t count, bool scored_only) {
  std::vector<int32_t> targets;
  if (scored_only) append_integers(ctx, targets, batch.targets);
  std::vector<int64_t> rows;
  for (int64_t t = 0; t < count; ++t) {
    if (scored_only && targets[as_index(t)] == kIgnoreTarget) continue;
    if (!batch.host_lengths.empty() && t % batch.time >= batch.host_lengths[as_index(t / batch.time)]) continue;
    rows.push_back(t);
  }
  return rows;
}

void RoutingRecord::add(Context& ctx, const TokenBatch& batch, const Routing& routing, ConstTensor kept_indices) {
  if (passes_++ > 0) return;
  slots = routing.indices.dim(1);
  const int64_t tokens = routing.indices.dim(0),
                count = places > 0 ? std::clamp<int64_t>(places - ctx.first_token, 0, tokens) : tokens;
  if (count == 0) return;
  const auto rows = recorded_rows(ctx, batch, count, scored_only);
  for (const int64_t row : rows) place.push_back(ctx.first_token + row);
  const auto first = [&](ConstTensor x) { return ConstTensor(x.slice(0, count)); };
  append_rows(ctx, chosen, first(routing.indices), rows);
  if (weighs) {
    append_rows(ctx, weights, first(routing.weights), rows);
    if (kept_indices.data != routing.indices.data) append_rows(ctx, kept, first(kept_indices), rows);
  }
  if (scores) append_rows(ctx, logits, first(routing.logits), rows);
  if (takes_inputs) append_rows(ctx, inputs, first(routing.x), rows);
}

}  // namespace moe
