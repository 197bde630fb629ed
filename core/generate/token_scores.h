// What a model makes of each token of a text: how probable it was, and how sure the model was.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/evaluate/evaluator.h"
#include "core/generate/model_reader.h"
#include "data/tokenizer.h"

namespace moe {

// The prediction of one token.
struct TokenScore {
  double nats = 0;     // -ln p of the token
  double entropy = 0;  // of the predicted distribution, in nats
  int64_t rank = 0;    // tokens that were more probable; of equally probable ones those with smaller ids count
};

// The prediction of `token` by logits (vocab), in f64.
TokenScore score_token(std::span<const float> logits, int32_t token);

// Predictions of the tokens [1, n) of a text; the first one is only read. The text is read in windows of `context`
// tokens of which the last `stride` are scored, 1 <= stride <= context; by a model with a context memory in segments of
// `context`. `visit`: ReaderOptions::visit, called for all tokens that are read. Collective over the expert group.
struct ScoreOptions {
  int64_t context = 0, stride = 0;
  std::function<void(std::span<const ReadToken>)> visit{};
};
std::vector<TokenScore> score_tokens(TrainingState& state, std::span<const int32_t> tokens,
                                     const ScoreOptions& options);

// The text that tokens were made from.
struct TextMeasures {
  int64_t bytes = 0, first_bytes = 0;  // of all of it, and of its first token, which is not predicted
  UnknownText unknown{};               // without the first token
};
std::vector<int32_t> encode_measured(const Tokenizer& tokenizer, std::string_view text, TextMeasures& measured);

// The scores as an evaluation, with the metrics of a text.
Evaluation evaluation_of(std::span<const TokenScore> scores, std::span<const int32_t> tokens,
                         const Tokenizer& tokenizer, const TextMeasures& text);

}  // namespace moe
