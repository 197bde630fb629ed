#include "core/generate/model_reader.h"

#include <omp.h>

#include <algorithm>
#include <map>

#include "core/base/check.h"
#include "core/base/token.h"
#include "core/tensor/copy.h"

namespace moe {

std::string why_read_whole(const Model& model) {
  if (model.causality() > Causality::causal)
    return "a token's experts depend on other tokens (" + std::string(name_of(model.causality())) + ")";
  for (const MoELayer* layer : model.moe_layers()) {
    if (layer->traits().draws_by_place) return "a token's experts are drawn by its place in the text";
    if (layer->capacity().evaluates_bounded())
      return "the room of an expert depends on the number of tokens that are read together (moe.capacity.evaluation)";
  }
  return {};
}

// Elements of the matrices that a token is multiplied by: of the experts' those of the chosen ones.
static double weights_per_token(const TrainingState& state) {
  std::map<int, double> share;  // of a block's experts
  for (const MoELayer* layer : state.model->moe_layers()) {
    share[layer->layer()] = static_cast<double>(layer->experts_per_token()) / static_cast<double>(layer->num_experts());
  }
  double sum = 0;
  for (const Parameter& p : state.parameters.parameters()) {
    const bool is_expert = p.group == ParameterGroup::expert;
    if (!p.lookup) sum += static_cast<double>(p.shape.size()) * (is_expert ? share[p.place.layer] : 1);
  }
  return sum;
}

// Reads on one thread for so long as it lives, where threads would wait for each other longer than they compute: there
// are some twenty regions in a layer, each of which costs a few microseconds. No result depends on threads.
class ReadingThreads {
 public:
  explicit ReadingThreads(double work) : before_(omp_get_max_threads()) {
    constexpr double kWorthSharing = 4e6;  // products: a millisecond of one thread at most
    if (work < kWorthSharing) omp_set_num_threads(1);
  }
  ~ReadingThreads() { omp_set_num_threads(before_); }
  ReadingThreads(const ReadingThreads&) = delete;

 private:
  int before_;
};

ModelReader::ModelReader(TrainingState& state, const ReaderOptions& options)
    : state_(state),
      options_(options),
      keeps_(options.cache),
      width_(state.model->head().classes()),
      weights_per_token_(weights_per_token(state)) {
  MOE_CHECK(wide(state.ctx.dtype) == DType::f32 && options.rows > 0 && options.chunk > 0, "{} rows, {} tokens a pass",
            options.rows, options.chunk);
  if (const std::string why = why_read_whole(*state.model); !why.empty()) {
    if (keeps_) why_not_ = why;
    keeps_ = false;
  }
  const Backbone& backbone = state.model->backbone();
  if (backbone.memory_shape()) {
    for (int64_t row = 0; row < options.rows; ++row)
      rows_.push_back({ContextMemory(state.ctx, backbone.memory_shape(), 1), 0});
  } else if (keeps_) {
    cache_.emplace(state.ctx, backbone.layers(), options.rows, options.context, backbone.cached_width());
  } else {
    MOE_CHECK(options.context <= options.chunk, "a context of {} tokens, read whole in passes of {}", options.context,
              options.chunk);
  }
}

TokenBatch ModelReader::forward(std::span<const Piece> pieces, int64_t time, const ContextMemory* memory) {
  Context& ctx = state_.ctx;
  ctx.activations->reset();
  ctx.scratch->reset();
  ids_.clear(), row_ids_.clear(), starts_.clear(), tokens_.clear();
  for (const auto& [text, start] : pieces) {
    const auto begin = text.tokens.begin() + start;
    ids_.insert(ids_.end(), begin, begin + time);
    row_ids_.push_back(static_cast<int32_t>(text.row));
    starts_.push_back(static_cast<int32_t>(start));
    for (int64_t i = 0; i < time; ++i) tokens_.push_back({text.text, text.first + start + i});
  }
  for (const int32_t id : ids_)
    if (id < 0 || id >= state_.model->vocab())
      raise<DataError>("token {} is outside of the vocabulary of {}", id, state_.model->vocab());
  targets_.assign(ids_.size(), kIgnoreTarget);
  const int64_t sequences = std::ssize(pieces);
  const LocalBatch host{
      .sequences = sequences, .time = time, .inputs = ids_, .targets = targets_, .global_sequences = sequences};
  TokenBatch batch = to_device(ctx, host, {0, sequences}, time, buffers_);
  batch.memory = memory;
  if (cache_) {
    batch.cache = &*cache_;
    batch.cache_rows = to_device(ctx, as_tensor(std::span<const int32_t>(row_ids_)));
    batch.starts = to_device(ctx, as_tensor(std::span<const int32_t>(starts_)));
  }
  const ReadingThreads threads(weights_per_token_ * static_cast<double>(batch.tokens()));
  state_.model->forward(ctx, batch);
  if (options_.visit) options_.visit(tokens_);
  return batch;
}

void ModelReader::copy_logits(int64_t first, int64_t rows, std::span<float> to) {
  const ReadingThreads threads(static_cast<double>(rows * state_.model->head().weight().shape.size()));
  copied_.clear();
  state_.model->append_logits(state_.ctx, first, rows, copied_);
  std::copy(copied_.begin(), copied_.end(), to.begin());
}

void ModelReader::read_alone(const Unread& text, std::span<float> to) {
  const int64_t size = std::ssize(text.tokens);
  int64_t time = 0;
  for (int64_t start = keeps_ ? text.known : 0; start < size; start += time) {
    time = std::min(options_.chunk, size - start);
    const Piece piece{text, start};
    forward({&piece, 1}, time);
  }
  copy_logits(time - 1, 1, to);
}

void ModelReader::read_singles(std::span<const Piece> pieces, std::span<const size_t> places) {
  for (size_t first = 0; first < pieces.size();) {
    const size_t count = std::min(pieces.size() - first, static_cast<size_t>(options_.chunk));
    forward(pieces.subspan(first, count), 1);
    // Neighbouring results are written at once: all of them where every text is such a piece.
    for (size_t i = 0; i < count;) {
      size_t end = i + 1;
      while (end < count && places[first + end] == places[first + end - 1] + 1) ++end;
      copy_logits(static_cast<int64_t>(i), static_cast<int64_t>(end - i),
                  std::span(logits_).subspan(places[first + i] * static_cast<size_t>(width_),
                                             (end - i) * static_cast<size_t>(width_)));
      i = end;
    }
    first += count;
  }
}

void ModelReader::read_with_memory(const Unread& text, std::span<float> to) {
  Row& row = rows_[static_cast<size_t>(text.row)];
  if (text.known == 0) {
    row.memory.clear();
    row.remembered = 0;
  }
  const int64_t size = std::ssize(text.tokens);
  while (true) {
    const int64_t time = std::min(options_.chunk, size - row.remembered);
    const Piece piece{text, row.remembered};
    const TokenBatch batch = forward({&piece, 1}, time, &row.memory);
    const bool is_last = row.remembered + time == size;
    if (is_last) copy_logits(time - 1, 1, to);
    if (!is_last || keeps_) {
      state_.model->remember(state_.ctx, batch);
      row.memory.advance(time);
      row.remembered += time;
    }
    if (is_last) return;
  }
}

std::span<const float> ModelReader::read(std::span<const Unread> texts) {
  Context& ctx = state_.ctx;
  const ModeScope modes(ctx, {.training = false, .observe = static_cast<bool>(options_.visit)});
  const PackedWeightsScope packed(ctx);
  const auto width = static_cast<size_t>(width_);
  logits_.resize(texts.size() * width);
  std::vector<Piece> singles;
  std::vector<size_t> places;
  for (size_t i = 0; i < texts.size(); ++i) {
    const Unread& text = texts[i];
    const int64_t unread = std::ssize(text.tokens) - text.known;
    MOE_CHECK(unread > 0 && text.known >= 0 && text.row < options_.rows, "{} of {} tokens are read, row {}", text.known,
              text.tokens.size(), text.row);
    MOE_CHECK(!rows_.empty() || std::ssize(text.tokens) <= options_.context, "a text of {} tokens, context {}",
              text.tokens.size(), options_.context);
    const std::span<float> to = std::span(logits_).subspan(i * width, width);
    if (!rows_.empty()) {
      read_with_memory(text, to);
    } else if (keeps_ && unread == 1) {
      singles.push_back({text, text.known});
      places.push_back(i);
    } else {
      read_alone(text, to);
    }
  }
  read_singles(singles, places);
  return logits_;
}

}  // namespace moe
