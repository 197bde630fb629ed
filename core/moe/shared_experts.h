// The experts of a MoE layer that every token passes through. They are computed as one layer with the width of all
// together. With moe.shared_gate their output is multiplied by sigmoid(g . x), with a learned vector g (Qwen2-MoE).
#pragma once
#include <optional>

#include "core/moe/build_context.h"
#include "core/moe/measures.h"

namespace moe {

class SharedExperts {
 public:
  // context.moe.shared_experts must be above 0. `measures` gets the mean gate, if there is one.
  SharedExperts(const BuildContext& context, MeasureSet& measures);

  // The two steps of forward: computes the outputs for x (tokens, d_model), which must live until backward; adds them
  // to y (tokens, d_model).
  void compute(Context& ctx, const TokenBatch& batch, ConstTensor x);
  void add_to(Context& ctx, const TokenBatch& batch, Tensor y);

  // The gradient of x by way of these experts.
  struct Gradient {
    Tensor input;   // (tokens, d_model)
    Tensor logits;  // (tokens, 1), of the gate; none without it
  };
  Gradient allocate_gradient(ScratchScope& scratch, ConstTensor x) const;
  // The two steps of backward: d_y (tokens, d_model) -> gradient, overwritten, and the parameters' gradients; adds the
  // gradient to d_x (tokens, d_model).
  void backward(Context& ctx, const TokenBatch& batch, const Gradient& gradient, ConstTensor d_y);
  void add_to(Context& ctx, Tensor d_x, const Gradient& gradient);

 private:
  DenseFeedForward experts_;
  MeasureSet& measures_;
  Parameter* gate_ = nullptr;  // (1, d_model)
  size_t gate_figure_ = 0;
  struct {
    ConstTensor x;
    Tensor out, gates;
  } saved_;
};

}  // namespace moe
