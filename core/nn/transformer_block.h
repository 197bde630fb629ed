// A transformer block. With pre-norm: h += attention(norm(h)); h += feed_forward(norm(h)). With post-norm: h = norm(h +
// attention(h)); h = norm(h + feed_forward(h)). With `post_twice` the sum of a mixture of experts and its input is
// normalised once more before it is added: h = norm(h + norm(h + feed_forward(h))).
#pragma once
#include <memory>
#include <vector>

#include "core/nn/attention.h"
#include "core/nn/feed_forward.h"
#include "core/nn/norm.h"
#include "core/nn/now.h"

namespace moe {

// Position of a block's norms (model.norm_place).
struct NormPlace {
  bool before = true;  // before the branches; otherwise after the sums
  bool twice = false;  // a mixture of experts has an additional norm
  static NormPlace of(const ModelConfig& config) {
    return {config.norm_place == "pre", config.norm_place == "post_twice"};
  }
};

class TransformerBlock {
 public:
  // `make_feed_forward` adds the feed-forward part's parameters under the given name; `is_moe`: whether it is a mixture
  // of experts. `relative_positions`: see Attention.
  template <class Make>
  TransformerBlock(ParameterStore& parameters, const std::string& name, int layer, const ModelConfig& config,
                   const RunLength& run, Make make_feed_forward, bool is_moe = false,
                   Parameter* relative_positions = nullptr)
      : layer_(layer),
        depth_(static_cast<double>(layer + 1) / static_cast<double>(config.layers)),
        dropout_(config.dropout.make(run)),
        layer_dropout_(config.layer_dropout.make(run)),
        place_(NormPlace::of(config)),
        recomputes_(config.recompute == "blocks"),
        attention_norm_(parameters, name + ".attention_norm", config),
        attention_(parameters, name + ".attention", config, run, layer, relative_positions),
        feed_forward_norm_(parameters, name + ".feed_forward_norm", config),
        feed_forward_(make_feed_forward(name)) {
    if (place_.twice && is_moe) inner_norm_.emplace(parameters, name + ".moe_norm", config);
  }

  // hidden (tokens, d_model), which must live until backward -> the next hidden (tokens, d_model)
  Tensor forward(Context& ctx, const TokenBatch& batch, ConstTensor hidden);
  // d_hidden: the gradient of the result on entry, of the input on return
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  // See Attention.
  void remember(Context& ctx, const TokenBatch& batch) { attention_.remember(ctx, batch); }

  FeedForward& feed_forward() { return *feed_forward_; }
  // From now on appends the input (d_model) of the feed-forward part of every token to `list`; nullptr stops it.
  void record_inputs(std::vector<float>* list) { inputs_ = list; }

 private:
  Tensor compute(Context& ctx, const TokenBatch& batch, ConstTensor hidden);
  // x (tokens, d_model) -> (tokens, d_model)
  Tensor feed(Context& ctx, const TokenBatch& batch, ConstTensor x);
  // Applies training's dropout to a branch's output, or to its gradient.
  void drop(Context& ctx, const TokenBatch& batch, Tensor branch, uint32_t branch_index) const;
  bool drops(const Context& ctx) const;
  // Adds the branch's output, with dropout, to the residual stream.
  Tensor add_branch(Context& ctx, const TokenBatch& batch, ConstTensor hidden, Tensor branch, uint32_t branch_index);
  void backward_before(Context& ctx, const TokenBatch& batch, Tensor d_hidden);
  void backward_after(Context& ctx, const TokenBatch& batch, Tensor d_hidden);

  int layer_;
  double depth_;  // relative depth: 1 for the last block
  Scheduled dropout_, layer_dropout_;
  NormPlace place_;
  bool recomputes_;    // backward runs forward again, from
  ConstTensor input_;  // the block's input
  Norm attention_norm_;
  Attention attention_;
  Norm feed_forward_norm_;
  std::optional<Norm> inner_norm_;
  std::unique_ptr<FeedForward> feed_forward_;
  std::vector<float>* inputs_ = nullptr;  // see record_inputs()
};

}  // namespace moe
