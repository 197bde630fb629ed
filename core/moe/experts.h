// The routed experts that this rank holds: each is a feed-forward layer, applied to rows sorted by expert.
#pragma once
#include <string>
#include <vector>

#include "core/nn/feed_forward.h"

namespace moe {

class Experts {
 public:
  struct Saved {
    ConstTensor rows, offsets;
    Tensor z, activated;
    ConstTensor numbers;  // none if there was no dropout
  };

  // The layer's experts with the indices `local`. `layer`: index of the block, a key of the random numbers.
  // `small_init`: weights are uniform within 1/d_model.
  Experts(ParameterStore& parameters, const std::string& name, const std::vector<int64_t>& local,
          const FeedForwardShape& shape, int layer, bool small_init);

  // rows (num_rows, d_model) sorted by expert, offsets (count + 1) i32 -> out (num_rows, d_model). `numbers` (num_rows)
  // i32: numbers of the rows' assignments (TokenDispatcher::number), needed if drops_hidden().
  Saved forward(Context& ctx, Tensor out, ConstTensor rows, ConstTensor offsets, ConstTensor numbers) const;
  // The part of forward() up to the hidden units, which is all that backward needs.
  Saved hidden(Context& ctx, ConstTensor rows, ConstTensor offsets, ConstTensor numbers) const;
  // d_out (num_rows, d_model) -> d_rows (num_rows, d_model), overwritten
  void backward(Context& ctx, Tensor d_rows, ConstTensor d_out, const Saved& saved);

  // Whether there is dropout of hidden units now. The mask is a function of token and expert: two passes of a token
  // through an expert in one update drop the same units.
  bool drops_hidden(const Context& ctx) const { return ctx.training && hidden_dropout(ctx) > 0; }

  // Whether the hidden units shall not be kept until backward, which computes them again by hidden().
  bool recomputes() const { return shape_.recompute; }

  int64_t count() const { return count_; }
  // From now on the stacks hold the experts with these indices, as many as before. The caller moves their values.
  void rename(const std::vector<int64_t>& local);

 private:
  double hidden_dropout(const Context& ctx) const {
    return shape_.hidden_dropout ? now(*shape_.hidden_dropout, ctx) : 0;
  }
  void drop(Context& ctx, Tensor activated, ConstTensor numbers) const;

  int64_t count_;
  FeedForwardShape shape_;
  int layer_;
  Parameter& input_;                                          // (count, width_factor * d_ff, d_model)
  Parameter& output_;                                         // (count, d_model, d_ff)
  Parameter *input_bias_ = nullptr, *output_bias_ = nullptr;  // (count, width_factor * d_ff), (count, d_model)
};

}  // namespace moe
