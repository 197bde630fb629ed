#include "core/train/evaluator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "core/ops/cross_entropy.h"
#include "core/tensor/copy.h"

namespace moe {

static constexpr double kLn2 = 0.6931471805599453;

double Evaluation::perplexity() const {
  return std::exp(nll());
}
double Evaluation::bits_per_token() const {
  return nll() / kLn2;
}
double Evaluation::bits_per_byte() const {
  return bytes_per_token ? bits_per_token() / *bytes_per_token : std::numeric_limits<double>::quiet_NaN();
}
double Evaluation::bits_per_character() const {
  return moe::bits_per_character(nll(), bytes_per_token);
}

const Table<Metric>& metrics() {
  static const Table<Metric> table{"metric",
                                   {{"bpc", [](const Evaluation& e) { return e.bits_per_character(); }},
                                    {"nll", [](const Evaluation& e) { return e.nll(); }},
                                    {"ppl", [](const Evaluation& e) { return e.perplexity(); }},
                                    {"bpb", [](const Evaluation& e) { return e.bits_per_byte(); }},
                                    {"accuracy", [](const Evaluation& e) { return e.accuracy(); }}}};
  return table;
}

double bits_per_character(double nll, std::optional<double> bytes_per_token) {
  return nll / kLn2 / bytes_per_token.value_or(1.0);
}

std::optional<double> bytes_per_token(const Split& split) {
  if (!split.raw_bytes() || split.num_tokens() == 0) return std::nullopt;
  return static_cast<double>(*split.raw_bytes()) / static_cast<double>(split.num_tokens());
}

Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Split& split,
                    const EvaluationOptions& options) {
  const int64_t used = options.tokens > 0 ? std::min(options.tokens, split.num_tokens()) : split.num_tokens();
  const Split part = split.slice(split.name(), 0, used);
  const EvaluationWindows windows(part, options.context, options.stride > 0 ? options.stride : options.context);
  Context& ctx = state.ctx;
  LanguageModel& model = *state.model;
  ctx.training = false;
  ctx.observe = true;
  std::fill(model.sums().begin(), model.sums().end(), 0.0);

  const int64_t ranks = groups.world->size(), rank = groups.world->rank(), per_round = ranks * options.sequences;
  Batch batch;
  std::array<double, 3> totals{};  // losses, tokens, correct
  for (int64_t round = 0; round * per_round < windows.num_windows(); ++round) {
    const int64_t first = round * per_round + rank * options.sequences;
    // Ranks take part in every round, with no windows when there are none left: experts may live on another rank.
    windows.load(first, std::clamp<int64_t>(windows.num_windows() - first, 0, options.sequences), batch);
    ctx.activations->reset();
    ctx.scratch->reset();
    const TokenBatch tokens{batch.sequences,
                            batch.length,
                            to_device(ctx, as_tensor(std::span(std::as_const(batch.inputs)))),
                            to_device(ctx, as_tensor(std::span(std::as_const(batch.targets)))),
                            windows.num_targets(),
                            windows.num_windows(),
                            to_device(ctx, as_tensor(std::span(std::as_const(batch.domains))))};
    model.forward(ctx, tokens);
    const LanguageModel::Outcome outcome = model.losses(ctx, tokens);
    const LossSums sums = loss_sums(ctx, outcome.losses, outcome.correct, tokens.targets);
    totals[0] += sums.loss;
    totals[1] += sums.tokens;
    totals[2] += sums.correct;
  }
  groups.world->all_reduce_sum(as_tensor(totals));
  groups.world->all_reduce_sum(as_tensor(model.sums()));
  ctx.training = true;
  return {totals[0], totals[1], totals[2], bytes_per_token(split)};
}

}  // namespace moe
