#include "core/evaluate/evaluator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/integer.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/packed_weights.h"
#include "core/step/local_batch.h"
#include "data/evaluation_windows.h"

namespace moe {

double Evaluation::perplexity() const {
  return std::exp(nll());
}
double Evaluation::bits_per_token() const {
  return nll() / std::numbers::ln2;
}
double Evaluation::bits_per_byte() const {
  if (!raw_bytes) return std::numeric_limits<double>::quiet_NaN();
  const double bits = loss_sum / std::numbers::ln2 + spelling_bits(unknown.value_or(UnknownText{}));
  return bits / static_cast<double>(*raw_bytes);
}
double Evaluation::bits_per_character() const {
  return raw_bytes ? bits_per_byte() : bits_per_token();
}

std::vector<std::string> to_words(const Evaluation& e) {
  std::vector<std::string> words;
  for (const char* name : e.metrics) {
    const Metric& metric = metrics().at(name);
    const double value = metric.value(e) * metric.factor;
    if (!std::isnan(value))
      words.push_back(fmt::format(fmt::runtime(fmt::format("{{}} {}", metric.format)), name, value));
  }
  return words;
}

double bits_per_character(double nll, std::optional<double> bytes_per_token, double spelling_bits) {
  const double bits = nll / std::numbers::ln2;
  return bytes_per_token ? (bits + spelling_bits) / *bytes_per_token : bits;
}

namespace {

// The sequences that a rank computes at a time. Ranks take part in every round, with no sequences when none are left,
// because experts may be on another rank.
struct Round {
  int64_t first = 0, count = 0;
  int64_t first_row = 0;     // row of the context memory
  bool ends_segment = true;  // ends a segment of all streams
};

// Rounds for sequences that are computed alone.
std::vector<Round> rounds_of_windows(const EvaluationSet& set, int64_t ranks, int64_t rank, int64_t sequences) {
  std::vector<Round> rounds;
  for (int64_t begin = 0; begin < set.num_sequences(); begin += ranks * sequences) {
    const int64_t first = begin + rank * sequences;
    rounds.push_back({first, std::clamp<int64_t>(set.num_sequences() - first, 0, sequences)});
  }
  return rounds;
}

// Rounds for streams. A rank computes its share of the streams from the first segment to the last.
std::vector<Round> rounds_of_streams(const EvaluationSet& set, int64_t ranks, int64_t rank, int64_t sequences) {
  std::vector<Round> rounds;
  const Share mine = share_of(set.streams(), ranks, rank);
  const int64_t most = (set.streams() + ranks - 1) / ranks;
  for (int64_t segment = 0; segment < set.num_sequences(); segment += set.streams()) {
    for (int64_t row = 0; row < most; row += sequences) {
      rounds.push_back({segment + mine.begin + row, std::clamp<int64_t>(mine.count - row, 0, sequences), row,
                        row + sequences >= most});
    }
  }
  return rounds;
}

// Adds the sums of a round's sequences to the parts that these belong to.
void add_to_parts(Context& ctx, const Outcome& outcome, const Round& round, int64_t all_sequences,
                  std::vector<EvaluatedPart>& parts) {
  const int64_t predictions = round.count == 0 ? 0 : outcome.losses.dim(0) / round.count;
  const int64_t count = std::ssize(parts);
  for (int64_t begin = round.first, end = round.first + round.count; begin < end;) {
    const int64_t part = begin * count / all_sequences;
    // The first sequence of the next part.
    const int64_t next = std::min(end, ((part + 1) * all_sequences + count - 1) / count);
    const int64_t row = (begin - round.first) * predictions, rows = (next - begin) * predictions;
    const LossSums sums = loss_sums(ctx, outcome.losses.slice(row, rows), outcome.correct.slice(row, rows),
                                    outcome.targets.slice(row, rows));
    EvaluatedPart& p = parts[static_cast<size_t>(part)];
    p.loss += sums.loss, p.tokens += sums.tokens, p.correct += sums.correct;
    begin = next;
  }
}

// Adds the results of this rank's share of samples that the model compares with one another.
void add_compared(const Model& model, const ProcessGroups& groups, int64_t samples, std::vector<EvaluatedPart>& parts,
                  RetrievalSums& sums, const RoundVisitor& visit) {
  const Share mine = share_of(samples, groups.world->size(), groups.world->rank());
  const std::vector<ComparedSample> compared = model.compared(mine.begin, mine.count);
  std::vector<double> losses;
  for (int64_t i = 0; i < mine.count; ++i) {
    const ComparedSample& sample = compared[as_index(i)];
    losses.insert(losses.end(), sample.loss.begin(), sample.loss.end());
    if (!sample.counts) continue;
    EvaluatedPart& part = parts[as_index((mine.begin + i) * std::ssize(parts) / samples)];
    for (size_t from = 0; from < 2; ++from) {
      part.loss += sample.loss[from], part.tokens += 1, part.correct += sample.nearest[from];
      sums.nearest[from] += sample.nearest[from];
      sums.among_five[from] += sample.among_five[from];
    }
    sums.classified += sample.classified;
    sums.samples += 1;
  }
  if (visit) visit(2 * mine.begin, Outcome{.losses = as_tensor(losses), .correct = {}});
}

}  // namespace

Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const EvaluationSet& set, int64_t sequences,
                    const RoundVisitor& visit, const std::function<bool()>& stop) {
  Context& ctx = state.ctx;
  Model& model = *state.model;
  const ModeScope modes(ctx, {.training = false, .observe = true});
  const PackedWeightsScope packed(ctx);
  std::fill(model.sums().begin(), model.sums().end(), 0.0);
  std::fill(model.loss_sums().begin(), model.loss_sums().end(), 0.0);
  model.begin(set.num_sequences());

  const int64_t ranks = groups.world->size(), rank = groups.world->rank();
  ContextMemory memory;
  if (set.streams() > 0) memory = {ctx, model.memory_shape(), share_of(set.streams(), ranks, rank).count};
  Batch batch;
  BatchBuffers buffers;
  std::vector<EvaluatedPart> parts(static_cast<size_t>(std::min(set.num_sequences(), kMostEvaluatedParts)));
  for (const Round& round : (memory ? rounds_of_streams : rounds_of_windows)(set, ranks, rank, sequences)) {
    if (stop && stop()) return {.is_complete = false};
    set.load(round.first, round.count, batch);
    ctx.activations->reset();
    ctx.scratch->reset();
    ctx.first_token = round.first * batch.length;  // random draws do not depend on the layout
    TokenBatch tokens = to_device(ctx, LocalBatch::of(batch, round.first, set.num_sequences()), {0, batch.sequences},
                                  model.predictions_per_sample(batch.length), buffers);
    tokens.global_tokens = set.num_tokens();
    if (memory) tokens.memory = &memory, tokens.first_row = round.first_row;
    model.forward(ctx, tokens);
    if (model.compares_samples()) continue;
    const Outcome outcome = model.losses(ctx, tokens);
    if (visit) visit(round.first * model.predictions_per_sample(batch.length), outcome);
    add_to_parts(ctx, outcome, round, set.num_sequences(), parts);
    model.observe_losses(ctx, outcome);
    model.remember(ctx, tokens);
    if (round.ends_segment) memory.advance(batch.length);
  }
  state.complete_sums(groups);
  if (!model.loss_sums().empty()) groups.world->all_reduce_sum(as_tensor(model.loss_sums()));
  std::optional<RetrievalSums> retrieval;
  if (model.compares_samples()) {
    add_compared(model, groups, set.num_sequences(), parts, retrieval.emplace(), visit);
    groups.world->all_reduce_sum(sums_tensor(*retrieval));
  }
  if (!parts.empty()) groups.world->all_reduce_sum(sums_tensor(parts));
  Evaluation result{
      .raw_bytes = set.raw_bytes(), .unknown = set.unknown(), .parts = std::move(parts), .retrieval = retrieval};
  for (const EvaluatedPart& part : result.parts) {
    result.loss_sum += part.loss;
    result.tokens += part.tokens;
    result.correct += part.correct;
  }
  return result;
}

Evaluation evaluate(TrainingState& state, const ProcessGroups& groups, const Split& split,
                    const EvaluationOptions& options) {
  const int64_t stride = options.stride > 0 ? options.stride : options.context;
  return evaluate(state, groups, EvaluationWindows(split, options.context, stride, options.tokens), options.sequences);
}

}  // namespace moe
