#include "core/generate/token_scores.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace moe {

TokenScore score_token(std::span<const float> logits, int32_t token) {
  const float own = logits[static_cast<size_t>(token)];
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0, weighted = 0;
  int64_t rank = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double below = static_cast<double>(logits[i]) - largest, weight = std::exp(below);
    sum += weight;
    weighted += weight * below;
    rank += logits[i] > own || (logits[i] == own && i < static_cast<size_t>(token));
  }
  const double log_sum = std::log(sum);
  return {.nats = log_sum - (static_cast<double>(own) - largest), .entropy = log_sum - weighted / sum, .rank = rank};
}

std::vector<TokenScore> score_tokens(TrainingState& state, std::span<const int32_t> tokens,
                                     const ScoreOptions& options) {
  const int64_t count = std::ssize(tokens), context = options.context, stride = options.stride;
  MOE_CHECK(stride >= 1 && stride <= context, "a stride of {} in a context of {}", stride, context);
  std::vector<TokenScore> scores(static_cast<size_t>(std::max<int64_t>(count - 1, 0)));
  int64_t first_scored = 0;  // tokens before it have been scored, the logits of the token before it are needed
  std::vector<float> logits;
  const auto width = static_cast<size_t>(state.model->head().classes());
  const auto read = [&](std::span<const ReadToken> pass) {
    if (options.visit) options.visit(pass);
    // The rows whose predictions are wanted: of the tokens [first_scored, ...), by the token before each.
    const int64_t begin = std::max<int64_t>(first_scored - 1 - pass.front().index, 0);
    const int64_t end = std::min<int64_t>(std::ssize(pass), count - 1 - pass.front().index);
    if (begin >= end) return;
    logits.clear();
    state.model->append_logits(state.ctx, begin, end - begin, logits);
    for (int64_t row = begin; row < end; ++row) {
      const int64_t place = pass.front().index + row;  // of the token that predicts
      const size_t at = static_cast<size_t>(row - begin) * width;
      scores[static_cast<size_t>(place)] =
          score_token(std::span(logits).subspan(at, width), tokens[static_cast<size_t>(place + 1)]);
    }
  };
  const bool has_memory = static_cast<bool>(state.model->memory_shape());
  ModelReader reader(state, {.context = context, .chunk = context, .cache = has_memory, .visit = read});
  if (has_memory) {
    const ModelReader::Unread all{.tokens = tokens};
    if (count > 1) reader.read({&all, 1});
    return scores;
  }
  // The last token is read too, whose experts may be wanted.
  for (int64_t begin = 0, end = 0; end < count && count > 1; begin += stride) {
    end = std::min(begin + context, count);
    const ModelReader::Unread window{
        .tokens = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), .first = begin};
    reader.read({&window, 1});
    first_scored = end + 1;  // by the last token of this window the next one is predicted, too
  }
  return scores;
}

Evaluation evaluation_of(std::span<const TokenScore> scores, std::span<const int32_t> tokens,
                         const Tokenizer& tokenizer, const TextMeasures& text) {
  Evaluation evaluation;
  for (const TokenScore& score : scores) {
    evaluation.loss_sum += score.nats;
    evaluation.correct += score.rank == 0;
  }
  evaluation.tokens = static_cast<double>(scores.size());
  if (tokens.empty() || tokenizer.name() == "external") return evaluation;
  evaluation.raw_bytes = text.bytes - text.first_bytes;
  if (text.unknown.tokens > 0) evaluation.unknown = text.unknown;
  return evaluation;
}

std::vector<int32_t> encode_measured(const Tokenizer& tokenizer, std::string_view text, TextMeasures& measured) {
  std::vector<int32_t> ids;
  measured = {.bytes = static_cast<int64_t>(text.size())};
  if (tokenizer.bytes_by_id()) {
    tokenizer.encode(text, ids);
    if (!ids.empty()) measured.first_bytes = (*tokenizer.bytes_by_id())[static_cast<size_t>(ids[0])];
    return ids;
  }
  TokenMeasures measures;
  tokenizer.encode(text, ids, measures);
  if (!ids.empty()) measured.first_bytes = measures.lengths[0];
  for (size_t i = 1; i < ids.size(); ++i) {
    measured.unknown.tokens += measures.unknown[i] > 0;
    measured.unknown.bytes += measures.unknown[i];
  }
  return ids;
}

}  // namespace moe
