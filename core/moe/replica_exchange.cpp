#include "core/moe/replica_exchange.h"

#include <algorithm>
#include <numeric>

#include "comm/traffic.h"
#include "core/base/integer.h"
#include "core/ops/elementwise.h"
#include "core/ops/packed_weights.h"

namespace moe {

// Elements that a rank sends or receives at a time for all copies of its experts with the same number.
static constexpr int64_t kStaged = int64_t{1} << 20;

// Elements [begin, begin + count) of an entry of a stack, as one row.
static Tensor piece(const Tensor& stack, int64_t entry, int64_t begin, int64_t count) {
  const Tensor one = stack.slice(entry, 1);
  return one.reshape({one.size()}).slice(begin, count).reshape({1, count});
}

// Memory for one row for each rank that `counts` names.
static Tensor rows_for(const Context& ctx, ScratchScope& scratch, const std::vector<int64_t>& counts, int64_t width,
                       DType dtype) {
  const int64_t most = std::ssize(counts) - 1;
  return scratch.allocate(Shape{ctx.planning ? most : std::accumulate(counts.begin(), counts.end(), int64_t{0}), width},
                          dtype);
}

template <class Exchange>
void ReplicaExchange::for_pieces(Context& ctx, const Copies& copies, Exchange exchange) {
  const TrafficScope traffic(ctx.traffic, TrafficLabel{TrafficKind::replicas, layer_});
  const int64_t ranks = group_->size(), rank = group_->rank();
  const ExpertMap& map = copies.map;
  copies_of_mine_.assign(as_index(ranks), 0);
  home_of_mine_.assign(as_index(ranks), 0);
  expert_.assign(as_index(ranks), 0);
  const auto exchange_all = [&](int64_t number) {
    for (Parameter* const stack : copies.stacks) {
      if (!stack || stack->num_copies == 0) continue;
      const int64_t elements = stack->shape.size() / stack->shape[0];
      const int64_t most = std::min(elements, divide_up(kStaged, ranks));
      for (int64_t begin = 0; begin < elements; begin += most) {
        exchange(*stack, number, begin, std::min(most, elements - begin));
        if (ctx.planning) break;
      }
    }
  };
  if (ctx.planning) return exchange_all(0);
  for (int64_t number = 0;; ++number) {
    int64_t found = 0;
    std::fill(copies_of_mine_.begin(), copies_of_mine_.end(), 0);
    std::fill(home_of_mine_.begin(), home_of_mine_.end(), 0);
    for (int64_t other = 0; other < ranks; ++other) {
      const std::span<const int32_t> on = copies.replicas.on(other);
      if (number >= std::ssize(on)) continue;
      ++found;
      const int64_t expert = on[as_index(number)], home = map.rank_of(expert);
      if (other == rank) home_of_mine_[as_index(home)] = 1;
      if (home != rank) continue;
      copies_of_mine_[as_index(other)] = 1;
      expert_[as_index(other)] = 0;
      for (int64_t e = 0; e < expert; ++e) expert_[as_index(other)] += map.rank_of(e) == rank;
    }
    if (found == 0) return;
    exchange_all(number);
  }
}

void ReplicaExchange::send_weights(Context& ctx, const Copies& copies) {
  PackedWeights::expect_no_scope(ctx);
  for_pieces(ctx, copies, [&](const Parameter& stack, int64_t number, int64_t begin, int64_t count) {
    ScratchScope scratch(ctx);
    const Tensor sent = rows_for(ctx, scratch, copies_of_mine_, count, stack.value.dtype);
    if (ctx.planning) return;
    int64_t row = 0;
    for (size_t other = 0; other < expert_.size(); ++other) {
      if (copies_of_mine_[other] > 0) copy(ctx, sent.slice(row++, 1), piece(stack.value, expert_[other], begin, count));
    }
    const bool receives = number < std::ssize(copies.replicas.on(group_->rank()));
    const Tensor received = receives ? piece(stack.copies, number, begin, count) : sent.slice(0, 0);
    group_->all_to_all(received, home_of_mine_, sent, copies_of_mine_);
  });
}

void ReplicaExchange::add_gradients(Context& ctx, const Copies& copies) {
  for_pieces(ctx, copies, [&](const Parameter& stack, int64_t number, int64_t begin, int64_t count) {
    ScratchScope scratch(ctx);
    const Tensor received = rows_for(ctx, scratch, copies_of_mine_, count, stack.gradient.dtype);
    if (ctx.planning) return;
    const bool sends = number < std::ssize(copies.replicas.on(group_->rank()));
    const Tensor sent = sends ? piece(stack.copies_gradient, number, begin, count) : received.slice(0, 0);
    group_->all_to_all(received, copies_of_mine_, sent, home_of_mine_);
    int64_t row = 0;
    for (size_t other = 0; other < expert_.size(); ++other) {
      if (copies_of_mine_[other] == 0) continue;
      const Tensor home = piece(stack.gradient, expert_[other], begin, count);
      add(ctx, home, home, received.slice(row++, 1));
    }
    if (sends) fill_zero(ctx, sent);
  });
}

}  // namespace moe
