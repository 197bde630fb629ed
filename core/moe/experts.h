// The routed experts that this rank holds, and copies of other ranks' experts (core/moe/replicas.h): each is a
// feed-forward layer, applied to rows sorted by expert.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "comm/process_groups.h"
#include "core/nn/feed_forward.h"

namespace moe {

class Experts {
 public:
  // What backward needs of rows (num_rows, d_model) that are sorted by expert.
  struct Saved {
    ConstTensor rows;
    Tensor z, activated;  // (num_rows, width_factor * d_ff), (num_rows, d_ff)
    ConstTensor numbers;  // (num_rows) i32: of the rows' assignments (TokenDispatcher::number); none without dropout

    Saved slice(Share part) const;
  };
  // Consecutive places, of which rows are given: offsets (local.count + 1) i32. Copies come after this rank's experts.
  struct Range {
    Share local;
    ConstTensor offsets;
  };
  // Whether a backward pass adds to the gradients of its parameters or overwrites them.
  using Accumulates = std::array<bool, 4>;

  // The layer's experts with the indices `local`. `layer`: index of the block, a key of the random numbers.
  // `small_init`: weights are uniform within 1/d_model. `copies`: the number that there is room for.
  Experts(ParameterStore& parameters, const std::string& name, const std::vector<int64_t>& local,
          const FeedForwardShape& shape, int layer, bool small_init, int64_t copies = 0);

  // Allocates the hidden units of `rows`. The numbers are needed if drops_hidden().
  Saved allocate_hidden(Context& ctx, ConstTensor rows, ConstTensor numbers) const;
  // saved.rows -> out (num_rows, d_model) and the hidden units
  void forward(Context& ctx, const Range& range, Tensor out, const Saved& saved) const;
  // The part of forward() up to the hidden units, which is all that backward needs.
  void hidden(Context& ctx, const Range& range, const Saved& saved) const;
  // Called once before the calls of backward() for all ranges of experts.
  Accumulates begin_backward();
  // d_out (num_rows, d_model) -> d_rows (num_rows, d_model), overwritten, which may be d_out itself
  void backward(Context& ctx, const Range& range, const Accumulates& accumulates, Tensor d_rows, ConstTensor d_out,
                const Saved& saved);

  // Whether there is dropout of hidden units now. The mask is a function of token and expert: two passes of a token
  // through an expert in one update drop the same units.
  bool drops_hidden(const Context& ctx) const { return ctx.training && hidden_dropout(ctx) > 0; }

  // Whether the hidden units shall not be kept until backward, which computes them again by hidden().
  bool recomputes() const { return shape_.recompute; }

  int64_t count() const { return count_; }
  // From now on the stacks hold the experts with these indices, as many as before. The caller moves their values.
  void rename(const std::vector<int64_t>& local);
  // The stacks, in the order of Accumulates; nullptr for absent biases.
  std::array<Parameter*, 4> parameters() { return {&input_, &output_, input_bias_, output_bias_}; }

 private:
  // Places of a range that are next to each other in memory: experts, or copies.
  struct Run {
    Share entries;  // of the stack of experts, or of that of copies
    bool are_copies;
    ConstTensor offsets;
    Tensor weight(const Parameter& p) const { return of(are_copies ? p.copies : p.value); }
    Tensor gradient(const Parameter& p) const { return of(are_copies ? p.copies_gradient : p.gradient); }
    Tensor of(const Tensor& stack) const { return stack.slice(entries.begin, entries.count); }
  };
  template <class Work>
  void for_runs(const Range& range, Work work) const;

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
