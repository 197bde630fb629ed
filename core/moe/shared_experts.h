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

  // x (tokens, d_model), which must live until backward -> added to y (tokens, d_model)
  void forward(Context& ctx, const TokenBatch& batch, Tensor y, ConstTensor x);
  // d_y (tokens, d_model) -> added to d_x (tokens, d_model)
  void backward(Context& ctx, const TokenBatch& batch, Tensor d_x, ConstTensor d_y);

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
