// The keys by which the tokens of a text are found again: a vector that a trained model computes at each of them.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/moe/routing_record.h"

namespace moe {

enum class KeyKind {
  hidden,  // the input of the last block's feed-forward part (kNN-LM, arXiv 1911.00172)
  routing  // the softmax of each MoE layer's router logits, one layer after the other (MoEE, arXiv 2410.10814)
};
// As on the command line: hidden or routing. Throws UsageError.
KeyKind key_kind(const std::string& name);
const char* name_of(KeyKind kind);

// Records the keys of a model's forward passes while it lives.
class KeyRecorder {
 public:
  // Throws UsageError for routing keys of a model without a mixture of experts.
  KeyRecorder(Model& model, KeyKind kind);
  ~KeyRecorder();
  KeyRecorder(const KeyRecorder&) = delete;

  // Moves the keys (tokens, width) of the last pass, over `tokens` places of which the first is place `first` of the
  // evaluation, to `keys`. Places of padding have any values. Returns the width.
  int64_t take(int64_t first, int64_t tokens, std::vector<float>& keys);

 private:
  Model& model_;
  KeyKind kind_;
  std::vector<float> inputs_;
  std::vector<RoutingRecord> records_;
};

// What a model makes of some scored tokens.
struct KeyedTokens {
  int64_t width = 0;               // of a key
  std::vector<float> keys;         // (tokens, width): computed before the token is read
  std::vector<int32_t> next;       // (tokens): the token that is predicted there
  std::vector<int64_t> positions;  // (tokens): the place of that token in its split
  std::vector<float> nats;         // (tokens): -ln p of it
  int64_t size() const { return static_cast<int64_t>(next.size()); }
};

// Evaluates the set as evaluate() does and calls visit(tokens) on every rank after each round, with this rank's scored
// tokens of the round, in the order of the text; ranks follow one another. Collective, so visit() may be. Throws
// UsageError for a set of streams (a model with a context memory).
using KeyVisitor = std::function<void(KeyedTokens& tokens)>;
Evaluation read_keys(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set, KeyKind kind,
                     int64_t sequences, const KeyVisitor& visit);

// Collective. The tokens of all ranks, in the order of the ranks, on rank 0; none on the others. `world` connects the
// memory of hosts.
KeyedTokens gathered(Communicator& world, KeyedTokens tokens);

}  // namespace moe
