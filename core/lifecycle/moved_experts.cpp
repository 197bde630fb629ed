#include "core/lifecycle/moved_experts.h"

#include <cstring>

#include "core/base/integer.h"
#include "core/tensor/copy.h"

namespace moe {
namespace {

// The experts that this rank sends and receives, by peer. On both sides they are in ascending order for each peer.
struct Exchange {
  std::vector<int64_t> send_rows, receive_rows;    // per peer
  std::vector<int64_t> sent, received;             // places in this rank's stacks before and after
  std::vector<std::pair<int64_t, int64_t>> stays;  // places before and after of experts that stay

  Exchange(const ExpertMap& before, const ExpertMap& after, int64_t rank)
      : send_rows(as_index(before.ranks())), receive_rows(as_index(before.ranks())) {
    const std::vector<int64_t> old = before.experts_of(rank), next = after.experts_of(rank);
    for (int64_t peer = 0; peer < before.ranks(); ++peer) {
      for (size_t i = 0; i < old.size(); ++i) {
        if (peer == rank || after.rank_of(old[i]) != peer) continue;
        sent.push_back(static_cast<int64_t>(i));
        ++send_rows[as_index(peer)];
      }
      for (size_t i = 0; i < next.size(); ++i) {
        if (peer == rank || before.rank_of(next[i]) != peer) continue;
        received.push_back(static_cast<int64_t>(i));
        ++receive_rows[as_index(peer)];
      }
    }
    for (size_t i = 0, j = 0; i < old.size() && j < next.size();) {
      if (old[i] == next[j]) {
        stays.emplace_back(i++, j++);
      } else {
        ++(old[i] < next[j] ? i : j);
      }
    }
  }
};

// stack (local experts, ...), of any dtype. Rows travel as whole numbers of 4 bytes, which every communicator takes.
void exchange(Context& ctx, Communicator& group, const Exchange& e, Tensor stack) {
  const int64_t experts = stack.dim(0);
  if (experts == 0 || stack.bytes() == 0) {
    group.all_to_all(Tensor{nullptr, {0, 1}, DType::i32, Device::cpu}, e.receive_rows,
                     Tensor{nullptr, {0, 1}, DType::i32, Device::cpu}, e.send_rows);
    return;
  }
  const size_t bytes = stack.bytes() / as_index(experts), words = (bytes + 3) / 4;
  std::vector<char> before(stack.bytes()), after(stack.bytes());
  const Tensor old{before.data(), stack.shape, stack.dtype, Device::cpu};
  copy_to_host(ctx, old, stack);
  std::vector<int32_t> sent(e.sent.size() * words), received(e.received.size() * words);
  for (size_t i = 0; i < e.sent.size(); ++i) {
    std::memcpy(sent.data() + i * words, before.data() + as_index(e.sent[i]) * bytes, bytes);
  }
  const auto rows_of = [&](std::vector<int32_t>& rows) {
    return as_tensor(std::span<int32_t>(rows))
        .reshape({std::ssize(rows) / static_cast<int64_t>(words), static_cast<int64_t>(words)});
  };
  group.all_to_all(rows_of(received), e.receive_rows, rows_of(sent), e.send_rows);
  for (const auto& [from, to] : e.stays) {
    std::memcpy(after.data() + as_index(to) * bytes, before.data() + as_index(from) * bytes, bytes);
  }
  for (size_t i = 0; i < e.received.size(); ++i) {
    std::memcpy(after.data() + as_index(e.received[i]) * bytes, received.data() + i * words, bytes);
  }
  copy_from_host(ctx, stack, Tensor{after.data(), stack.shape, stack.dtype, Device::cpu});
}

}  // namespace

void move_experts(TrainingState& state, const ProcessGroups& groups, MoELayer& layer, const ExpertMap& next) {
  if (next == layer.expert_map()) return;
  const Exchange plan(layer.expert_map(), next, groups.expert->rank());
  const Tensor values = state.parameters.buffer(ParameterGroup::expert).value;
  const Optimizer& optimizer = *state.optimizer;
  std::vector<size_t> kinds;
  if (optimizer.has_master()) kinds.push_back(Optimizer::kMaster);
  for (size_t kind = 0; kind < optimizer.state_kinds().size(); ++kind) kinds.push_back(kind);
  for (const Parameter& p : state.parameters.parameters()) {
    if (p.group != ParameterGroup::expert || p.place.layer != layer.layer()) continue;
    const int64_t begin = element_offset(p.value, values);
    exchange(state.ctx, *groups.expert, plan, p.value);
    for (const size_t kind : kinds) {
      if (!optimizer.is_sharded()) {
        const Tensor kept = optimizer.held(ParameterGroup::expert, kind);
        exchange(state.ctx, *groups.expert, plan, kept.slice(begin, p.shape.size()).reshape(p.shape));
        continue;
      }
      // Of a divided state, whole stacks are collected from the ranks with the same experts, and divided again.
      const NamedTensor stack{.name = p.name, .tensor = p.value};
      const Tensor whole = optimizer.collect(ParameterGroup::expert, kind, stack);
      exchange(state.ctx, *groups.expert, plan, whole);
      optimizer.store(ParameterGroup::expert, kind, stack, whole);
    }
  }
  layer.place(next);
}

}  // namespace moe
