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
#include "core/schedule/scheduled.h"

namespace moe {

// Fields that every member has.
struct OptimizerOptions {
  ScheduleField weight_decay;
  ParameterClassesConfig classes;

  explicit OptimizerOptions(double default_weight_decay) : weight_decay(default_weight_decay, {0, 100}) {}
  void optimizer_fields(FieldVisitor& v) {
    v.schedule("weight_decay", weight_decay,
               "Decoupled weight decay: each update multiplies a weight by 1 - learning rate * weight_decay.");
    v.group("classes", classes, "Factors on learning rate and weight decay for each class of parameters.");
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
  };
  virtual ~Optimizer() = default;

  // Changes every trained parameter by its gradient, then sets gradients to zero or marks them as old.
  void step(Context& ctx, const OptimizerUpdate& update);

  // The f32 values that bf16 parameters are rounded from, laid out like the group's buffer; absent when parameters are
  // f32 or f64.
  Tensor master(ParameterGroup group) const { return groups_[as_index(group)].master; }
  // The kinds of state, in a fixed order, and a group's tensors in that order. Checkpoints and the lifecycle of experts
  // know an optimizer by these alone.
  const std::vector<OptimizerStateKind>& state_kinds() const { return kinds_; }
  std::span<const Tensor> states(ParameterGroup group) const { return groups_[as_index(group)].states; }
  // Calls visit(kind, tensor) for each of the group's tensors.
  template <class Visit>
  void for_each_state(ParameterGroup group, Visit visit) const {
    for (size_t i = 0; i < kinds_.size(); ++i) visit(kinds_[i], groups_[as_index(group)].states[i]);
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

  struct Group {
    Tensor master;
    std::vector<Tensor> states;
    std::vector<ParameterRange> ranges;
  };

  ParameterStore& parameters_;
  const Scheduled weight_decay_;
  const std::vector<OptimizerStateKind> kinds_;
  std::unique_ptr<Arena> arena_;
  std::array<Group, kTrainedGroups.size()> groups_;
};

}  // namespace moe
