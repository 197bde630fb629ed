// Facts about a router, and about a strategy with its routers: fixed once they are built.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "core/nn/parameter.h"

namespace moe {

// Whether a token's output can depend on tokens that come after it. A language model that does looks at its own
// answers: its loss is no measure of prediction.
enum class Causality {
  causal,    // never
  sequence,  // on later tokens of its own sequence
  batch,     // on any token that the same rank passes through the layer together with it
};
const char* name_of(Causality causality);

// What draws a router's tokens to its experts: the larger <row e, x> is, the more does expert e get of a token x.
struct ExpertDirections {
  Parameter* rows = nullptr;              // (experts, width)
  const Parameter* projection = nullptr;  // (width, d_model), of the token before; none: the token itself
  bool unit = false;                      // only the direction of a row counts
  std::string why_none{};                 // where there are no such rows
};

struct RouterTraits {
  int64_t k = 1;  // slots per token: the width of Routing::indices. A slot may stay empty (-1)
  // Experts that a token really goes to, on average: when training has ended, over all its updates, and at an update,
  // counted from 0.
  double final_k = 1;
  double mean_k = 1;
  std::function<double(uint64_t update)> k_at;
  bool bounds_load = false;  // an expert takes a stated number of tokens, however many would like to go there
  // Of the trained model, and while it is trained: then a router may couple more tokens.
  Causality causality = Causality::causal;
  Causality training_causality = Causality::causal;
  // Why the number of experts cannot change during a run (moe.life); empty: it can.
  std::string fixed_experts{};
  // Why c copies of every expert, c times as many of them chosen, do not give at evaluation what one of each gave;
  // empty: they do.
  std::string unlike_copies{};
  ExpertDirections directions{nullptr, nullptr, false, "it has no matrix with a row per expert"};

  // The same number of experts throughout.
  static RouterTraits constant(int64_t slots, double experts) {
    RouterTraits traits;
    traits.k = slots;
    traits.final_k = traits.mean_k = experts;
    traits.k_at = [experts](uint64_t) { return experts; };
    return traits;
  }
};

struct StrategyTraits : RouterTraits {
  double training_passes = 1;  // passes of a token through its experts that a training step makes
  std::string fixed_places{};  // why no expert can take another's place; empty: each can
};

}  // namespace moe
