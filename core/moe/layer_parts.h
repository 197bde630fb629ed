// What a strategy works with besides its router; the layer owns it.
#pragma once
#include "core/moe/balance_set.h"
#include "core/moe/capacity_limit.h"
#include "core/moe/experts.h"
#include "core/moe/load_stats.h"
#include "core/moe/token_dispatcher.h"

namespace moe {

struct LayerParts {
  TokenDispatcher& dispatcher;
  Experts& experts;
  BalanceSet& balance;
  LoadStats& load;
  CapacityLimit& capacity;
};

}  // namespace moe
