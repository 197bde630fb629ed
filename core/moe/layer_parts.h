// The parts of a layer that a strategy uses besides its router; the layer owns them.
#pragma once
#include "core/base/function_ref.h"
#include "core/moe/balance_set.h"
#include "core/moe/capacity_limit.h"
#include "core/moe/experts.h"
#include "core/moe/host_dispatcher.h"
#include "core/moe/load_stats.h"
#include "core/moe/routing_record.h"
#include "core/moe/token_dispatcher.h"
#include "core/nn/now.h"

namespace moe {

// Dropout of the experts' outputs during training.
struct OutputDropout {
  Scheduled rate;
  int layer;  // index of the block, a key of the random numbers
  double now(const Context& ctx) const { return ctx.training ? moe::now(rate, ctx) : 0; }
};

struct LayerParts {
  TokenDispatcher& dispatcher;
  HostDispatcher* hosts;  // through which rows travel instead, in two stages, or none
  Experts& experts;
  BalanceSet& balance;
  LoadStats& load;
  CapacityLimit& capacity;
  const OutputDropout& dropout;
  RoutingRecord* record = nullptr;  // if set, the choices of observed passes are copied to it
  // Work that does not depend on the pass through the experts: the first exchange that overlaps takes it and does it
  // while its rows travel.
  FunctionRef<void()> meanwhile{};
};

}  // namespace moe
