// Optimizer: how gradients change the parameters. Members are in optimizers/, the table in optimizer.cpp.
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/integer.h"
#include "core/optim/parameter_classes.h"
#include "core/optim/reduction_plan.h"
#include "core/schedule/scheduled.h"

namespace moe {

// Fields that every member has.
struct OptimizerOptions {
  ScheduleField weight_decay;
  ParameterClassesConfig classes;
  bool shard = false;

  explicit OptimizerOptions(double default_weight_decay) : weight_decay(default_weight_decay, {0, 100}) {}
  void optimizer_fields(FieldVisitor& v) {
    v.schedule("weight_decay", weight_decay,
               "Decoupled weight decay: each update multiplies a weight by 1 - learning rate * weight_decay.");
    v.group("classes", classes, "Factors on learning rate and weight decay for each class of parameters.");
    v.field(
        "shard", shard,
        "each rank keeps the optimizer's state of a part of the parameters and updates these alone (ZeRO-1), among the "
        "ranks that have the same parameters");
  }
};

// What a tensor of the optimizer becomes when experts are merged into one (core/moe/expert_mapping.h).
enum class StateMerge {
  sum,      // grows with the gradient: the sum of the origins' tensors
  squares,  // grows with its square: the square of the sum of the origins' roots
};

// A tensor that a member keeps for each parameter. It is laid out like the parameters' buffer and begins at zero.
struct OptimizerStateKind {
  std::string name;  // checkpoints store it as "NAME.PARAMETER"
  StateMerge merge;
  bool narrow = false;  // bf16 where parameters are no f64; otherwise f32. Checkpoints store f32 either way.
};

// What one update has in common for all parameters.
struct OptimizerUpdate {
  int64_t number = 0;         // counted from 0
  double learning_rate = 0;   // of the run's schedule
  double gradient_scale = 1;  // gradients are multiplied by it: clipping
};

class Optimizer {
 public:
  struct Setup {
    Context& ctx;
    ParameterStore& parameters;
    RunLength run;
    const ProcessGroups* groups = nullptr;  // for a state that is divided among ranks
    int64_t bucket = int64_t{1} << 22;      // see plan_reduction
  };
  virtual ~Optimizer() = default;

  // Changes every trained parameter by its gradient, then sets gradients to zero or marks them as old.
  void step(Context& ctx, const OptimizerUpdate& update);

  // The kinds of state, in a fixed order. Checkpoints and the lifecycle of experts know an optimizer by these alone.
  const std::vector<OptimizerStateKind>& state_kinds() const { return kinds_; }
  // In place of an index of state_kinds(): the f32 values that bf16 parameters are rounded from, the master weights.
  static constexpr size_t kMaster = SIZE_MAX;
  // Whether there are master weights; not when parameters are f32 or f64.
  bool has_master() const { return bool{groups_[0].master}; }
  // Calls visit(tensor) for the state of each of the group's parameters, of experts one by one. A state that is divided
  // among ranks is collected, a parameter at a time: then the call is collective over these ranks, and tensors are on
  // the host and valid during the call.
  template <class Visit>
  void visit_state(ParameterGroup group, size_t kind, Visit visit) const;
  // visit_state of the values that parameters have before they are rounded: the master weights, or the values.
  template <class Visit>
  void visit_exact_values(ParameterGroup group, Visit visit) const;
  // With a divided state: the state of one tensor, a value of for_each_named, on the host until the next call.
  // Collective.
  Tensor collect(ParameterGroup group, size_t kind, const NamedTensor& value) const;
  // The opposite: keeps this rank's part of `whole`. Not collective.
  void store(ParameterGroup group, size_t kind, const NamedTensor& value, const Tensor& whole) const;
  // Calls fill(tensor), which changes elements, likewise; not collective. Of a divided state this rank has and keeps
  // only its part.
  template <class Fill>
  void fill_state(ParameterGroup group, size_t kind, Fill fill) const;

  // Whether the state is divided among ranks.
  bool is_sharded() const { return !plan_.empty(); }
  // Then: the parts in which gradients must be reduced, of which each rank's are those that it updates.
  const std::vector<GradientBucket>& plan() const { return plan_; }
  // The group's tensors as this rank holds them; of a divided state its parts, one after the other.
  Tensor held(ParameterGroup group, size_t kind) const {
    const Group& g = groups_[as_index(group)];
    return kind == kMaster ? g.master : g.states[kind];
  }
  size_t bytes() const { return arena_->used(); }

 protected:
  static constexpr size_t kMostStates = 4;

  // Parameters next to each other that are updated alike.
  struct Slice {
    Tensor weight, master, gradient;  // (n); `master` as above
    std::span<const Tensor> states;   // (n) each
    double learning_rate, weight_decay, gradient_scale;
    int64_t update;       // counted from 1
    bool clear_gradient;  // set the gradient to zero afterwards
  };

  // Starts from the parameters' present values.
  Optimizer(const OptimizerOptions& options, const Setup& setup, std::vector<OptimizerStateKind> kinds);

 private:
  virtual void update(Context& ctx, const Slice& slice) const = 0;

  // Elements [begin, begin + count) of a group's buffer, which this rank updates; `at`: the place of the first one in
  // the states.
  struct Part {
    int64_t begin, count, at;
  };
  struct Group {
    Tensor master;
    std::vector<Tensor> states;
    std::vector<ParameterRange> ranges;
    std::vector<Part> parts;
    int64_t held = 0;  // elements of all parts
  };

  void divide();
  void update_part(Context& ctx, ParameterGroup name, const Part& part, const OptimizerUpdate& update,
                   double weight_decay) const;
  void clear_other_gradients(Context& ctx, ParameterGroup name) const;
  // Copies this rank's part of elements [begin, begin + n) of the buffer between `whole` (n), on the host, and the
  // state.
  void copy_part(ParameterGroup group, const Tensor& held, int64_t begin, const Tensor& whole, bool to_state) const;
  Tensor buffer_for(const Tensor& like, Shape shape) const;

  ParameterStore& parameters_;
  const ProcessGroups rank_groups_;
  std::vector<GradientBucket> plan_;  // if sharded
  mutable std::vector<Pending> gathering_;
  mutable std::vector<char> whole_;  // one parameter's state
  const Scheduled weight_decay_;
  const std::vector<OptimizerStateKind> kinds_;
  std::unique_ptr<Arena> arena_;
  std::array<Group, kTrainedGroups.size()> groups_;
};

template <class Visit>
void Optimizer::visit_state(ParameterGroup group, size_t kind, Visit visit) const {
  const Tensor state = held(group, kind), values = parameters_.buffer(group).value;
  if (!is_sharded()) return parameters_.for_each_named(group, state, visit);
  parameters_.for_each_named(group, values, [&](NamedTensor t) {
    t.tensor = collect(group, kind, t);
    visit(t);
  });
}

template <class Visit>
void Optimizer::visit_exact_values(ParameterGroup group, Visit visit) const {
  if (group != ParameterGroup::untrained && has_master()) return visit_state(group, kMaster, visit);
  parameters_.for_each_named(group, parameters_.buffer(group).value, visit);
}

template <class Fill>
void Optimizer::fill_state(ParameterGroup group, size_t kind, Fill fill) const {
  const Tensor state = held(group, kind), values = parameters_.buffer(group).value;
  if (!is_sharded()) return parameters_.for_each_named(group, state, fill);
  parameters_.for_each_named(group, values, [&](NamedTensor t) {
    const int64_t begin = element_offset(t.tensor, values);
    t.tensor = buffer_for(state, t.tensor.shape);
    copy_part(group, state, begin, t.tensor, false);
    fill(t);
    copy_part(group, state, begin, t.tensor, true);
  });
}

}  // namespace moe
