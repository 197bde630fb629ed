// A mixture-of-experts feed-forward layer: router, experts and balance losses, put to use by a strategy, plus the
// experts that every token shares.
#pragma once
#include "core/config/model_config.h"
#include "core/moe/strategy.h"

namespace moe {

class MoELayer : public FeedForward {
 public:
  struct Setup {
    ParameterStore& parameters;
    const ProcessGroups& groups;
    const MoEConfig& config;
    int layer = 0;
    FeedForwardShape expert_shape;
    double router_std = 0.02;
  };
  MoELayer(const std::string& name, const Setup& setup);

  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor x) override;
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y) override;

  // Everything that is summed over tokens, in one range, so that one reduction serves all layers.
  size_t num_sums() const { return LoadStats::num_sums(experts_) + balance_.num_sums(); }
  void bind_sums(std::span<double> sums);

  int layer() const { return layer_; }
  int64_t num_experts() const { return experts_; }
  const LoadStats& load() const { return load_; }
  const BalanceSet& balance() const { return balance_; }
  Router& router() { return *router_; }

 private:
  int layer_;
  int64_t experts_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<Strategy> strategy_;
  TokenDispatcher dispatcher_;
  Experts local_experts_;
  BalanceSet balance_;
  LoadStats load_;
  LayerParts parts_;
  std::unique_ptr<DenseFeedForward> shared_;  // one layer as wide as all shared experts together
};

}  // namespace moe
