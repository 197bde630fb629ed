// What a strategy works with besides its router; the layer owns it.
#pragma once
#include "core/moe/balance_set.h"
#include "core/moe/capacity_limit.h"
#include "core/moe/experts.h"
#include "core/moe/load_stats.h"
#include "core/moe/token_dispatcher.h"
#include "core/nn/now.h"

namespace moe {

// Dropout of the experts' outputs, in training.
struct OutputDropout {
  Scheduled rate;
  int layer;  // the block, which random numbers follow from
  double now(const Context& ctx) const { return ctx.training ? moe::now(rate, ctx) : 0; }
};

struct LayerParts {
  TokenDispatcher& dispatcher;
  Experts& experts;
  BalanceSet& balance;
  LoadStats& load;
  CapacityLimit& capacity;
  const OutputDropout& dropout;
};

}  // namespace moe
