// Strategy: how one MoE layer uses its router and its experts. Members are in strategies/, the table in strategy.cpp.
#pragma once
#include "core/moe/balance_set.h"
#include "core/moe/experts.h"
#include "core/moe/load_stats.h"
#include "core/moe/token_dispatcher.h"

namespace moe {

// What a strategy works with; the layer owns it.
struct LayerParts {
  Router& router;
  TokenDispatcher& dispatcher;
  Experts& experts;
  BalanceSet& balance;
  LoadStats& load;
};

class Strategy {
 public:
  struct Setup {
    ParameterStore& parameters;
    std::string name;  // of the layer
    int layer = 0;
    int64_t d_model = 0;
    int64_t experts = 0;
  };

  virtual ~Strategy() = default;
  // x (tokens, d_model), which must live until backward -> (tokens, d_model)
  virtual Tensor forward(Context& ctx, LayerParts& parts, const TokenBatch& batch, ConstTensor x) = 0;
  // d_y (tokens, d_model) -> d_x (tokens, d_model), overwritten
  virtual void backward(Context& ctx, LayerParts& parts, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) = 0;
};

}  // namespace moe
