// Every expert's response to every token (CompeteSMoE). Only the scores are kept. Tokens pass through all experts in
// parts with as many rows as an ordinary pass has, and backward recomputes each part.
#pragma once
#include "core/base/integer.h"
#include "core/moe/layer_parts.h"
#include "core/ops/competition.h"

namespace moe {

class Competition {
 public:
  // `k`: rows per token in the layer's ordinary pass
  Competition(int64_t experts, int64_t k, Response response) : experts_(experts), k_(k), response_(response) {}

  // x (tokens, d_model) -> scores (tokens, experts). Collective over the expert-parallel group.
  void forward(Context& ctx, LayerParts& parts, ConstTensor x, Tensor scores);
  // d_scores (tokens, experts) -> adds to d_x and to the experts' gradients
  void backward(Context& ctx, LayerParts& parts, Tensor d_x, ConstTensor x, ConstTensor d_scores);

 private:
  // The forward pass of one part of the tokens, up to its scores.
  struct Part {
    DispatchPlan plan;   // of the ranks that rows are sent to directly, or of those on this rank's host
    HostPlan host_plan;  // with two stages
    ConstTensor numbers;
    Experts::Saved experts;
    Tensor out;         // (received rows, d_model)
    Tensor row_scores;  // (received rows, 1)
  };
  void prepare(Context& ctx, LayerParts& parts, int64_t tokens, int64_t first_token);
  // `first_token`: index of x's first token in the step's global batch. Returns the scores of the sorted rows (rows, 1)
  // of sorted() if they are needed, `collects`.
  Tensor respond(Context& ctx, LayerParts& parts, ConstTensor x, int64_t first_token, bool collects);
  // d_scores (tokens of the part, experts) -> adds to d_x
  void part_backward(Context& ctx, LayerParts& parts, Tensor d_x, ConstTensor d_scores);
  // The plan of the rows that return to this rank.
  const DispatchPlan& sorted(const LayerParts& parts) const {
    return parts.hosts ? part_.host_plan.single : part_.plan;
  }
  static TokenDispatcher& dispatcher(LayerParts& parts) {
    return parts.hosts ? parts.hosts->inside() : parts.dispatcher;
  }
  // The same number on every rank, because each part is a collective exchange.
  int64_t num_parts() const { return divide_up(experts_, k_); }

  int64_t experts_, k_;
  Response response_;
  Part part_;  // a member so that the memory of its plan is reused
};

}  // namespace moe
