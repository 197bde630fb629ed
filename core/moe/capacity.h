// Capacity: how many of a group's tokens an expert takes at most, as a factor on its fair share of their assignments.
// Members are in capacities/, the table in capacity.cpp; core/moe/capacity_limit.h puts one to use.
#pragma once
#include <span>

#include "core/moe/token_grouping.h"
#include "core/ops/capacity.h"

namespace moe {

// Fields that every member with a bound has.
struct CapacityOptions : GroupOptions {
  std::string drop = "position";
  bool renormalise = false;
  double evaluation = 0;

  void capacity_fields(FieldVisitor& v) {
    v.field("drop", drop,
            "who keeps a place: first choices before second ones and earlier tokens before later ones, or larger "
            "weights",
            {"position", "score"});
    group_fields(v);
    v.field("renormalise", renormalise, "a token's other experts take over the weight of those that it lost");
    v.field("evaluation", evaluation, "factor at evaluation; 0 = nothing is dropped there", {0, 1024});
  }
};

// What an update showed of the whole model; the same on every rank.
struct UpdateFacts {
  double loss = 0;     // mean over the update's tokens, nats
  double flops = 0;    // of forward and backward, what was dropped left out
  double seconds = 0;  // that these took, mean over the ranks
};

// And of one layer, over all ranks and micro-batches.
struct CapacityFeedback {
  UpdateFacts update;
  double router_entropy = 0;                     // mean over tokens, over ln(experts)
  double assignments = 0;                        // before any was dropped
  std::span<const double> dropped_by_candidate;  // that each of the candidates would have dropped
};

class Capacity {
 public:
  using Setup = BuildContext;

  explicit Capacity(const CapacityOptions& options) : options_(options) {}
  virtual ~Capacity() = default;

  const CapacityOptions& options() const { return options_; }
  // An expert takes ceil(factor * k * tokens / experts) of a group's tokens; 0 = there is no bound. At an update of
  // training, counted from 0.
  virtual double factor(uint64_t update) const = 0;
  // The largest in the whole run; 0 = there is no bound. Memory is planned for it.
  virtual double largest() const = 0;

  // Factors of which it wants to be told what they would have dropped; the same ones always.
  virtual std::span<const double> candidates() const { return {}; }
  // After an update; the same on every rank.
  virtual void after_step(const CapacityFeedback& feedback) { (void)feedback; }
  // All that it remembers, for checkpoints: finite numbers, always as many.
  virtual std::span<double> state() { return {}; }

 private:
  CapacityOptions options_;
};

}  // namespace moe
