// Capacity: the maximum number of a group's tokens that an expert takes, as a factor on its fair share of their
// assignments. Members are in capacities/, the table in capacity.cpp; core/moe/capacity_limit.h applies one.
#pragma once
#include <span>

#include "core/moe/token_grouping.h"
#include "core/ops/capacity.h"

namespace moe {

// Fields of all members that have a bound.
struct CapacityOptions : GroupOptions {
  std::string drop = "position";
  bool renormalise = false;
  double evaluation = 0;

  void capacity_fields(FieldVisitor& v) {
    v.field("drop", drop,
            "which assignments an expert keeps: position = first choices before second ones, then earlier tokens "
            "before later ones; score = those with larger weights",
            {"position", "score"});
    group_fields(v);
    v.field("renormalise", renormalise, "the weight of a token's dropped assignments goes to its remaining experts");
    v.field("evaluation", evaluation, "capacity factor at evaluation; 0 = nothing is dropped at evaluation", {0, 1024});
  }
};

// Measurements of one update for the whole model; the same on every rank.
struct UpdateFacts {
  double loss = 0;                                   // mean over the update's tokens, nats
  double flops = 0;                                  // of forward and backward, without dropped assignments
  double seconds = 0;                                // time of forward and backward, mean over the ranks
  std::optional<double> shared_experts_per_token{};  // see LoadStats
};

// Measurements of one update for one layer, over all ranks and micro-batches.
struct CapacityFeedback {
  UpdateFacts update;
  double router_entropy = 0;                     // mean over tokens, divided by ln(experts)
  double router_uncertainty = 0;                 // mean over tokens; 0 for a router that does not know it
  double assignments = 0;                        // before any was dropped
  std::span<const double> dropped_by_candidate;  // assignments that each candidate would have dropped
};

class Capacity {
 public:
  using Setup = BuildContext;

  explicit Capacity(const CapacityOptions& options) : options_(options) {}
  virtual ~Capacity() = default;

  const CapacityOptions& options() const { return options_; }
  // The factor at a training update, counted from 0: an expert takes at most ceil(factor * k * tokens / experts) of a
  // group's tokens; 0 = no bound.
  virtual double factor(uint64_t update) const = 0;
  // The largest factor in the whole run, for which memory is planned; 0 = no bound.
  virtual double largest() const = 0;

  // Factors for which after_step() needs the number of assignments that they would have dropped. Always the same ones.
  virtual std::span<const double> candidates() const { return {}; }
  // Called after an update, with the same arguments on every rank.
  virtual void after_step(const CapacityFeedback& feedback) { (void)feedback; }
  // Its complete state, for checkpoints: a constant number of finite values.
  virtual std::span<double> state() { return {}; }

 private:
  CapacityOptions options_;
};

}  // namespace moe
