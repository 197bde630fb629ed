// A copy on the host of what a layer's tokens chose. This is the one way in which choices are read: for the churn of a
// run, for routing traces, and in tests.
#pragma once
#include <cstdint>
#include <vector>

#include "core/moe/routing.h"
#include "core/nn/token_batch.h"
#include "core/tensor/context.h"

namespace moe {

struct RoutingRecord {
  // What is recorded.
  int64_t places = 0;         // of the tokens at these first places of the whole step; 0: of all
  bool scored_only = false;   // only of tokens whose prediction counts
  bool weighs = false;        // also their weights, and which choices a capacity dropped
  bool scores = false;        // also the logits
  bool takes_inputs = false;  // also the router's input

  // What was recorded of this rank's tokens, without padding.
  int64_t slots = 0;              // choices per token
  std::vector<int64_t> place{};   // (tokens): index in the whole step: sample * time + position
  std::vector<int32_t> chosen{};  // (tokens, slots), -1 for an empty slot
  std::vector<int32_t> kept{};    // the same, -1 also for dropped choices; empty where no capacity limits the layer
  std::vector<float> weights{};   // (tokens, slots)
  std::vector<float> logits{};    // (tokens, experts)
  std::vector<float> inputs{};    // (tokens, d_model)

  // Called before a micro-batch's first pass: a strategy may make several, of which the first is recorded. The others
  // are of noisy copies of the tokens.
  void begin() { passes_ = 0; }
  // `kept` (tokens, slots) i32: the choices that are dispatched, routing.indices itself where no capacity limits them.
  void add(Context& ctx, const TokenBatch& batch, const Routing& routing, ConstTensor kept_indices);

 private:
  int passes_ = 0;
};

}  // namespace moe
