// The loss of a model on a split. The figures do not depend on ranks or batch size: every sequence is computed alone,
// or after those before it in its stream.
#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>

#include "core/step/training_state.h"
#include "data/corpus.h"
#include "data/evaluation_set.h"

namespace moe {

struct EvaluationOptions {
  int64_t context = 0;    // of text
  int64_t stride = 0;     // 0 = context
  int64_t tokens = 0;     // leading tokens of the split, or labelled samples; 0 = all
  int64_t sequences = 1;  // at a time on each rank
  int64_t streams = 0;    // of a model that remembers: parts that a text is cut into; 0 = evaluate.streams
};

// The figures by which a language model is judged, the first before all.
inline constexpr std::array kTextMetrics = {"bpc", "nll", "ppl", "bpb", "accuracy"};

struct Evaluation {
  double loss_sum = 0;                                  // -ln p over all predictions, nats
  double tokens = 0;                                    // predictions: tokens of a text, or labelled samples
  double correct = 0;                                   // those that had the largest logit
  std::optional<int64_t> raw_bytes;                     // of text that the predictions stand for
  std::span<const char* const> metrics = kTextMetrics;  // that tell something of it

  double nll() const { return loss_sum / tokens; }  // nats per prediction
  double perplexity() const;
  double bits_per_token() const;
  double bits_per_byte() const;       // of the text that was predicted; NaN when its length is unknown
  double bits_per_character() const;  // bits per byte where known (a character is a byte, as in text8), else per token
  double accuracy() const { return correct / tokens; }
};

// The figures by the names that users ask for them.
struct Metric {
  const char* name;
  double (*value)(const Evaluation&);
  const char* format;  // of the value for people, times `factor`
  double factor = 1;
};
const Table<Metric>& metrics();
// The metrics that tell something, for people: "bpc 1.2345", "accuracy 98.02%".
std::vector<std::string> to_words(const Evaluation& evaluation);

// Is shown the losses (predictions) of each round, of which the first is number `first` of the set's.
using LossVisitor = std::function<void(int64_t first, ConstTensor losses)>;

// Collective. Computes `sequences` of the set at a time on each rank; a set of streams segment by segment, with a
// memory of its own that is empty at first. Leaves the routing statistics of the evaluated tokens in the model's sums.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set, int64_t sequences,
                    const LossVisitor& visit = {});
// Of a text, in windows: each token but the very first is predicted once.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Split& split,
                    const EvaluationOptions& options);

// Bits per character of a mean loss, with the same convention.
double bits_per_character(double nll, std::optional<double> bytes_per_token);

}  // namespace moe
