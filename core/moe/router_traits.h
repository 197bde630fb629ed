// Properties of a router, and of a strategy with its routers, that are fixed once they are built.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/nn/parameter.h"

namespace moe {

// Whether a token's output can depend on later tokens. If it does in a language model, the model reads the tokens that
// it has to predict, and its loss does not measure prediction.
enum class Causality {
  causal,    // never
  sequence,  // on later tokens of its own sequence
  batch,     // on any token that the same rank passes through the layer together with it
};
const char* name_of(Causality causality);

// The vectors by which a router scores its experts: the larger <row e, x>, the higher expert e scores for token x.
struct ExpertDirections {
  Parameter* rows = nullptr;              // (experts, width)
  const Parameter* projection = nullptr;  // (width, d_model), applied to the token first; none: no projection
  bool unit = false;                      // only the direction of a row matters, not its length
  std::string why_none{};                 // the reason if there are no such rows
};

struct RouterTraits {
  int64_t k = 1;  // slots per token: the width of Routing::indices. A slot may be empty (-1)
  // Average number of experts that a token is actually sent to: at the end of training, over all updates, and at one
  // update, counted from 0.
  double final_k = 1;
  double mean_k = 1;
  std::function<double(uint64_t update)> k_at;
  bool bounds_load = false;  // an expert takes a fixed number of tokens
  // At evaluation, a token's experts follow from its place in the batch.
  bool draws_by_place = false;
  // The router has a loss of its own whose gradient needs the sums of the whole step.
  bool needs_whole_step = false;
  // Its rule after each step goes by the mean number of experts per token over all layers with such a router.
  bool shares_target = false;
  // Causality of the trained model, and during training, when a router may couple more tokens.
  Causality causality = Causality::causal;
  Causality training_causality = Causality::causal;
  // The reason why the number of experts cannot change during a run (moe.lifecycle); empty if it can.
  std::string fixed_experts{};
  // The reason why c copies of every expert with c times the k do not give the same output at evaluation; empty if they
  // do.
  std::string unlike_copies{};
  ExpertDirections directions{nullptr, nullptr, false, "it has no matrix with a row per expert"};
  // The router's matrix with a row per expert (experts, width), also where its rows alone do not choose (directions);
  // none: it has no such matrix.
  const Parameter* expert_rows = nullptr;
  bool has_uncertainty = false;  // its routings have an uncertainty
  // For a router that repeats the choices of a traced run: the folder of that run, empty if none is configured.
  std::optional<std::string> replays{};

  // Traits of a router with a constant number of experts per token.
  static RouterTraits constant(int64_t slots, double experts) {
    RouterTraits traits;
    traits.k = slots;
    traits.final_k = traits.mean_k = experts;
    traits.k_at = [experts](uint64_t) { return experts; };
    return traits;
  }
};

struct StrategyTraits : RouterTraits {
  double training_passes = 1;  // passes of a token through its experts in a training step
  std::string fixed_places{};  // the reason why no expert can replace another; empty if they can
  // The output of each chosen expert is used by itself, not only in the token's weighted sum.
  bool needs_outputs = false;
};

}  // namespace moe
