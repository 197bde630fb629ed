// Every expert's response to every token (CompeteSMoE). Nothing of it is kept but the scores: tokens pass through all
// experts in parts, as many rows at a time as an ordinary pass has, and backward computes a part anew.
#pragma once
#include "core/base/integer.h"
#include "core/moe/experts.h"
#include "core/moe/token_dispatcher.h"
#include "core/ops/competition.h"

namespace moe {

class Competition {
 public:
  // `k`: rows per token of the layer's ordinary pass
  Competition(int64_t experts, int64_t k, Response response) : experts_(experts), k_(k), response_(response) {}

  // x (tokens, d_model) -> scores (tokens, experts). Collective over the expert-parallel group.
  void forward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x, Tensor scores);
  // d_scores (tokens, experts) -> adds to d_x and to the experts' gradients
  void backward(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, Tensor d_x, ConstTensor x,
                ConstTensor d_scores);

 private:
  // The pass of one part of the tokens, as far as its scores.
  struct Part {
    DispatchPlan plan;
    Experts::Saved experts;
    Tensor out;         // (received rows, d_model)
    Tensor row_scores;  // (received rows, 1)
  };
  // `first_token`: the number of x's first token in the step's global batch
  void respond(Context& ctx, TokenDispatcher& dispatcher, Experts& experts, ConstTensor x, int64_t first_token);
  // Every rank has as many parts, because each is a collective exchange.
  int64_t num_parts() const { return divide_up(experts_, k_); }

  int64_t experts_, k_;
  Response response_;
  Part part_;  // kept for the memory of its plan
};

}  // namespace moe
