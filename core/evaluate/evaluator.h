// The loss of a model on a split. Results do not depend on ranks or batch size: every sequence is computed alone, or
// after the preceding ones of its stream.
#pragma once
#include <array>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "core/evaluate/evaluated_part.h"
#include "core/evaluate/metric.h"
#include "core/step/training_state.h"
#include "data/corpus.h"
#include "data/evaluation_set.h"

namespace moe {

struct EvaluationOptions {
  int64_t context = 0;    // tokens per window of text
  int64_t stride = 0;     // 0 = context
  int64_t tokens = 0;     // leading tokens of the split, or labelled samples; 0 = all
  int64_t sequences = 1;  // per forward pass on each rank
  int64_t streams = 0;    // for a model with a context memory: parts that a text is cut into; 0 = evaluate.streams
  double noise = 0;       // on images: standard deviation relative to the pixels' range (data/images/image_noise.h)
  std::function<bool()> stop{};  // see evaluate()
};

// Of an evaluation that compares samples of two parts with each other: the numbers of samples whose query has a
// candidate of its class as the nearest one, or among the nearest five, by direction (from first to second parts, and
// back), and of those that the classes' mean second parts classify correctly.
struct RetrievalSums {
  std::array<double, 2> nearest{}, among_five{};
  double classified = 0;
  double samples = 0;
};

struct Evaluation {
  double loss_sum = 0;                                  // -ln p over all predictions, nats
  double tokens = 0;                                    // predictions: tokens of a text, or labelled samples
  double correct = 0;                                   // predictions whose target had the largest logit
  std::optional<int64_t> raw_bytes{};                   // bytes of text that the predictions stand for
  std::optional<UnknownText> unknown{};                 // what of it is unknown to the tokenizer; nothing: not counted
  std::span<const char* const> metrics = kTextMetrics;  // metrics that are meaningful for it
  std::vector<EvaluatedPart> parts{};  // equal numbers of sequences; as many as there are, at most kMostEvaluatedParts
  std::optional<RetrievalSums> retrieval{};  // of a model that compares samples
  bool is_complete = true;                   // false: it was stopped, and its figures mean nothing

  double nll() const { return loss_sum / tokens; }  // nats per prediction
  double perplexity() const;
  double bits_per_token() const;
  // For the predicted text, with the bits that spell out what is unknown to the tokenizer (data/unknown_text.h), if
  // that was counted; NaN when its length is unknown.
  double bits_per_byte() const;
  double bits_per_character() const;  // bits per byte where known (a character is a byte, as in text8), else per token
  double accuracy() const { return correct / tokens; }
};

// The meaningful metrics as text: "bpc 1.2345", "accuracy 98.02%".
std::vector<std::string> to_words(const Evaluation& evaluation);

// Called after each round, or for a rank's share of samples that are compared; `first` is the index of its first
// prediction in the set.
using RoundVisitor = std::function<void(int64_t first, const Outcome& outcome)>;

// Collective. Computes `sequences` of the set at a time on each rank. A set of streams is computed segment by segment,
// with its own context memory, which is empty at first. The routing statistics of the evaluated tokens are in the
// model's sums afterwards. `stop` is called by every rank before each round, and must return the same on all of them;
// true ends the evaluation.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set, int64_t sequences,
                    const RoundVisitor& visit = {}, const std::function<bool()>& stop = {});
// Evaluates a text in windows; each token but the very first is predicted once.
Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Split& split,
                    const EvaluationOptions& options);

// Bits per character for a mean loss, with the same convention. spelling_bits: of unknown text, per token.
double bits_per_character(double nll, std::optional<double> bytes_per_token, double spelling_bits = 0);

}  // namespace moe
