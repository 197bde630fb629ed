// What each router, strategy and capacity computes at evaluation, in the terms that other programs share. Each family
// has a table with a line per member; a test compares them with the families' own tables, so that a new member cannot
// be forgotten.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/config/moe_config.h"
#include "core/convert/plain_model.h"

namespace moe {

// How the router's matrix of a shared layout is made of our tensors, whose names follow the layer's name.
enum class RouterMatrix {
  weight,         // ".router.weight", divided by the temperature
  zeros,          // all experts are alike
  mean_of_heads,  // the mean of the matrices in ".router.heads.weight"
  hypernetwork,   // computed from ".router.embedding" and the frozen ".router.hyper." matrices
};

struct RouterPlan {
  std::string refusal;  // why it is none of the shared forms; empty if it is one
  // Whether `routing` is at least near to it (--approximate); always so without a refusal.
  bool has_nearest = true;
  PlainRouting routing{};
  RouterMatrix matrix = RouterMatrix::weight;
  double temperature = 1;
  bool learned_temperature = false;  // ".router.temperature" takes the place of `temperature`
};

// What is fixed where a router's line is applied.
struct RouterCase {
  const MoEConfig& moe;  // of the layer
  RunLength run;
  uint64_t update = 0;  // scheduled options have the value of this one
};

// How a member fares in a shared layout: as it is, after its tensors were changed once, or not at all. Some members are
// exact with certain options only; their plan decides.
enum class Fate { exact, folded, refused, depends };
const char* name_of(Fate fate);

struct RouterLine {
  const char* name;
  Fate fate;
  const char* how;  // in words: as what, or why not
  RouterPlan (*plan)(const RouterCase&);
};
std::span<const RouterLine> router_lines();

struct StrategyLine {
  const char* name;
  Fate fate;
  const char* how;
};
std::span<const StrategyLine> strategy_lines();

struct CapacityLine {
  const char* name;
  Fate fate;
  const char* how;
};
std::span<const CapacityLine> capacity_lines();

// Applies the tables. Strategy and capacity add to the refusal.
RouterPlan plan_router(const RouterCase& c);
// Why the layer's strategy, or its capacity, changes what is computed at evaluation; empty if it does not.
std::string strategy_refusal(const RouterCase& c);
std::string capacity_refusal(const RouterCase& c);

// The ends of the names of tensors that take part in training alone: a layer may have them, and no layout does.
std::span<const char* const> training_tensors();

}  // namespace moe
