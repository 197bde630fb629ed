#include "core/lifecycle/moved_tensors.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/base/name_hash.h"
#include "core/checkpoint/tensor_file.h"
#include "core/tensor/copy.h"

namespace moe {
namespace {

std::vector<float> on_host(Context& ctx, ConstTensor x) {
  MOE_CHECK(x.dtype == DType::f32 || x.dtype == DType::bf16,
            "experts of dtype {} cannot be moved; expected f32 or bf16", name_of(x.dtype));
  std::vector<float> values;
  append_floats(ctx, values, x);
  return values;
}

bool belongs_to(const Parameter& parameter, const MoELayer& layer) {
  return parameter.place.layer == layer.layer();
}

// A matrix from which choices are computed, in which noise must make copies differ. Excludes mere descriptions of
// experts (lookup).
bool is_router_matrix(const Parameter& p) {
  return p.per_expert != PerExpert::no && p.shape.rank() == 2 && !p.lookup;
}

// The element of an origin's state in the form in which `origins` of them are added up. For a single origin no root is
// taken, so that no bit is lost.
double to_sum(StateMerge merge, size_t origins, double x) {
  switch (merge) {
    case StateMerge::sum:
      return x;
    case StateMerge::squares:
      return origins > 1 ? std::sqrt(x) : x;
  }
  return x;
}
// The new expert's element, computed from their sum; its gradient is the origins' sum times `gradient_scale`.
double from_sum(StateMerge merge, size_t origins, double sum, double gradient_scale) {
  const double scaled = gradient_scale * sum;
  switch (merge) {
    case StateMerge::sum:
      return scaled;
    case StateMerge::squares:
      return origins > 1 ? scaled * scaled : gradient_scale * scaled;
  }
  return scaled;
}

// Sums over one new expert's origins, in f64; see MappedExpert.
class Sum {
 public:
  Sum(size_t elements, const MappedExpert& expert, const std::vector<OptimizerStateKind>& kinds)
      : expert_(expert), kinds_(kinds), value_(elements) {}

  void add_value(const float* x, double weight) {
    for (size_t i = 0; i < value_.size(); ++i) value_[i] += weight * static_cast<double>(x[i]);
  }
  // `state(kind)` returns an origin's values of that kind of state.
  template <class State>
  void add_states(State state) {
    states_.resize(kinds_.size());
    for (size_t kind = 0; kind < kinds_.size(); ++kind) {
      const float* x = state(kind);
      states_[kind].resize(value_.size());
      for (size_t i = 0; i < value_.size(); ++i) {
        states_[kind][i] += to_sum(kinds_[kind].merge, expert_.origins.size(), static_cast<double>(x[i]));
      }
    }
  }
  void add_noise(double relative, const RandomKey& key, uint64_t first_element) {
    if (!expert_.noisy || relative == 0) return;
    double squares = 0;
    for (const double x : value_) squares += x * x;
    const double deviation = relative * std::sqrt(squares / static_cast<double>(std::max<size_t>(value_.size(), 1)));
    for (size_t i = 0; i < value_.size(); ++i) {
      value_[i] += deviation * static_cast<double>(key.normal(first_element + i));
    }
  }

  template <class Moved>
  void append_to(Moved& moved) const {
    for (const double x : value_) moved.value.push_back(static_cast<float>(x));
    moved.states.resize(states_.size());
    for (size_t kind = 0; kind < states_.size(); ++kind) {
      for (const double x : states_[kind]) {
        moved.states[kind].push_back(
            static_cast<float>(from_sum(kinds_[kind].merge, expert_.origins.size(), x, expert_.gradient_scale)));
      }
    }
  }

 private:
  const MappedExpert& expert_;
  const std::vector<OptimizerStateKind>& kinds_;
  std::vector<double> value_;
  std::vector<std::vector<double>> states_;  // by kind; empty where there are none
};

}  // namespace

std::vector<std::vector<double>> router_rows(TrainingState& state, const MoELayer& layer) {
  std::vector<std::vector<double>> rows(static_cast<size_t>(layer.num_experts()));
  for (const Parameter& p : state.parameters.parameters()) {
    if (!belongs_to(p, layer) || !is_router_matrix(p)) continue;
    const std::vector<float> values = on_host(state.ctx, p.value);
    const size_t width = static_cast<size_t>(p.shape[1]);
    for (size_t e = 0; e < rows.size(); ++e) {
      rows[e].insert(rows[e].end(), values.begin() + static_cast<std::ptrdiff_t>(e * width),
                     values.begin() + static_cast<std::ptrdiff_t>((e + 1) * width));
    }
  }
  return rows;
}

// A group's tensors as stored on this rank; the master weights where parameters are rounded.
void MovedTensors::take(TrainingState& state, ParameterGroup group, std::map<std::string, Moved>& into) const {
  const bool trained = group != ParameterGroup::untrained;
  const Optimizer& optimizer = *state.optimizer;
  optimizer.visit_exact_values(group, [&](const NamedTensor& t) { into[t.name].value = on_host(state.ctx, t.tensor); });
  for (size_t kind = 0; trained && kind < optimizer.state_kinds().size(); ++kind) {
    optimizer.visit_state(group, kind,
                          [&](const NamedTensor& t) { into[t.name].states.push_back(on_host(state.ctx, t.tensor)); });
  }
}

MovedTensors::MovedTensors(TrainingState& state, const ProcessGroups& groups, const ProcessGroups& next,
                           const ExpertChange& change, int64_t step)
    : kinds_(state.optimizer->state_kinds()) {
  take(state, ParameterGroup::shared, tensors_);
  take(state, ParameterGroup::untrained, tensors_);
  std::map<std::string, Moved> held;
  take(state, ParameterGroup::expert, held);
  const auto layers = state.model->moe_layers();
  MOE_CHECK(layers.size() == change.mappings.size(), "mappings of {} layers for a model with {}",
            change.mappings.size(), layers.size());
  for (const Parameter& p : state.parameters.parameters()) {
    if (p.group != ParameterGroup::expert && p.per_expert == PerExpert::no) continue;
    for (size_t layer = 0; layer < layers.size(); ++layer) {
      if (!belongs_to(p, *layers[layer])) continue;
      const ExpertMapping& mapping = change.mappings[layer];
      const RandomKey key{state.ctx.seed, RandomPurpose::expert_lifecycle, name_stream(p.name),
                          static_cast<uint64_t>(step)};
      if (p.group == ParameterGroup::expert) {
        // A state with the same numbers of experts is the same state, with its maps; others start with contiguous
        // shares.
        const ExpertMap &before = layers[layer]->expert_map(),
                        after = change.before == change.after
                                    ? before
                                    : ExpertMap::contiguous(mapping.after(), next.expert->size());
        map_stack(p, mapping, change, key, groups, {before, after.experts_of(next.expert->rank())}, held);
      } else {
        map_rows(p, mapping, change, key);
      }
    }
  }
}

void MovedTensors::map_rows(const Parameter& p, const ExpertMapping& mapping, const ExpertChange& change,
                            RandomKey key) {
  MOE_CHECK(p.shape[0] == mapping.before, "{} has {} rows for {} experts", p.name, p.shape[0], mapping.before);
  const Moved old = std::move(tensors_.at(p.name));
  Moved& moved = tensors_[p.name] = {};
  const auto width = static_cast<size_t>(p.shape.size() / std::max<int64_t>(p.shape[0], 1));
  const std::vector<int64_t> copies = mapping.copies();
  for (size_t e = 0; e < mapping.experts.size(); ++e) {
    Sum sum(width, mapping.experts[e], kinds_);
    for (const auto& [expert, weight] : mapping.experts[e].origins) {
      const size_t begin = static_cast<size_t>(expert) * width;
      const double part = 1 / static_cast<double>(copies[as_index(expert)]);
      sum.add_value(&old.value[begin], p.per_expert == PerExpert::divided ? part : weight);
      if (!old.states.empty()) sum.add_states([&](size_t kind) { return &old.states[kind][begin]; });
    }
    if (is_router_matrix(p)) sum.add_noise(change.router_noise, key, e * width);
    sum.append_to(moved);
  }
}

// Every old expert in turn is broadcast to all ranks of its group and added to the sums that need it.
void MovedTensors::map_stack(const Parameter& p, const ExpertMapping& mapping, const ExpertChange& change,
                             RandomKey key, const ProcessGroups& groups, const Places& places,
                             const std::map<std::string, Moved>& held) {
  const int64_t width = p.shape.rank() == 3 ? p.shape[1] * p.shape[2] : p.shape[1];
  const auto n = static_cast<size_t>(width);
  std::vector<Sum> sums;
  for (const int64_t e : places.mine) sums.emplace_back(n, mapping.experts[as_index(e)], kinds_);
  const size_t parts = 1 + kinds_.size();
  std::vector<float> travelling(parts * n);  // value and states of one expert
  for (int64_t expert = 0; expert < mapping.before; ++expert) {
    const int owner = places.before.rank_of(expert);
    if (groups.expert->rank() == owner) {
      const Moved& own = held.at(expert_name(p.name, expert));
      auto end = std::copy(own.value.begin(), own.value.end(), travelling.begin());
      for (const std::vector<float>& state : own.states) end = std::copy(state.begin(), state.end(), end);
    }
    const Shape all{static_cast<int64_t>(travelling.size())};
    groups.expert->broadcast({travelling.data(), all, DType::f32, Device::cpu}, owner);
    for (size_t i = 0; i < sums.size(); ++i) {
      const MappedExpert& wants = mapping.experts[as_index(places.mine[i])];
      for (const auto& [origin, weight] : wants.origins) {
        if (origin != expert) continue;
        sums[i].add_value(travelling.data(), weight);
        sums[i].add_states([&](size_t kind) { return &travelling[(1 + kind) * n]; });
      }
    }
  }
  for (size_t i = 0; i < sums.size(); ++i) {
    const int64_t expert = places.mine[i];
    sums[i].add_noise(change.noise, key, static_cast<uint64_t>(expert * width));
    sums[i].append_to(tensors_[expert_name(p.name, expert)] = {});
  }
}

void MovedTensors::write_to(TrainingState& state) const {
  for (const ParameterGroup group : kParameterGroups) {
    const auto write = [](const NamedTensor& t, const std::vector<float>& values) {
      write_tensor(t.tensor, BasicTensor<const void>{values.data(), Shape{static_cast<int64_t>(values.size())},
                                                     DType::f32, Device::cpu});
    };
    const auto write_value = [&](const NamedTensor& t) { write(t, tensors_.at(t.name).value); };
    state.parameters.for_each_named(group, state.parameters.buffer(group).value, write_value);
    if (group == ParameterGroup::untrained) continue;
    const Optimizer& optimizer = *state.optimizer;
    if (optimizer.has_master()) optimizer.fill_state(group, Optimizer::kMaster, write_value);
    for (size_t kind = 0; kind < optimizer.state_kinds().size(); ++kind) {
      optimizer.fill_state(group, kind, [&](const NamedTensor& t) { write(t, tensors_.at(t.name).states[kind]); });
    }
  }
}

}  // namespace moe
