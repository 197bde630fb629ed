// The routed experts that this rank holds: a feed-forward layer each, over rows sorted by expert.
#pragma once
#include "core/nn/feed_forward.h"

namespace moe {

class Experts {
 public:
  struct Saved {
    ConstTensor rows, offsets;
    Tensor z, activated;
  };

  // Experts [first, first + count) of the layer. `small_init`: uniform within 1/d_model.
  Experts(ParameterStore& parameters, const std::string& name, int64_t first, int64_t count,
          const FeedForwardShape& shape, bool small_init);

  // rows (num_rows, d_model) sorted by expert, offsets (count + 1) i32 -> (num_rows, d_model)
  Tensor forward(Context& ctx, ConstTensor rows, ConstTensor offsets, Saved& saved);
  // d_out (num_rows, d_model) -> d_rows (num_rows, d_model), overwritten
  void backward(Context& ctx, Tensor d_rows, ConstTensor d_out, const Saved& saved);

  int64_t first() const { return first_; }
  int64_t count() const { return count_; }

 private:
  int64_t first_, count_;
  FeedForwardShape shape_;
  Parameter& input_;                                          // (count, width_factor * d_ff, d_model)
  Parameter& output_;                                         // (count, d_model, d_ff)
  Parameter *input_bias_ = nullptr, *output_bias_ = nullptr;  // (count, width_factor * d_ff), (count, d_model)
};

}  // namespace moe
