#include "core/model/pair_model.h"

#include <algorithm>
#include <cmath>

#include "core/base/integer.h"
#include "core/base/token.h"
#include "core/nn/modal_embedding.h"
#include "core/nn/patch_embedding.h"
#include "core/nn/token_embedding.h"
#include "core/ops/bias.h"
#include "core/ops/class_contrast.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/modality.h"
#include "core/ops/normalise_rows.h"
#include "core/tensor/copy.h"

namespace moe {

// CLIP's upper bound of 1 / temperature.
static constexpr double kMostScale = 100;
// Scores are computed, and overwritten by gradients, in chunks of about this many bytes (see OutputHead).
static constexpr int64_t kScoreBytes = int64_t{8} << 20, kScoreBytesOnDevice = int64_t{512} << 20;

static std::unique_ptr<InputEmbedding> make_embedding(ParameterStore& parameters, const ModelSetup& s) {
  std::vector<ModalEmbedding::Modality> modalities;
  const auto add_patches = [&](const char* name, int64_t patches, int64_t features) {
    modalities.push_back(
        {std::make_unique<PatchEmbedding>(parameters, features, s.model.d_model, false, s.model.init_std, name),
         patches, features});
  };
  add_patches("patch_embedding", s.sample.patches, s.sample.features);
  if (s.sample.second_features > 0) {
    add_patches("second_patch_embedding", s.sample.second_patches, s.sample.second_features);
  } else {
    modalities.push_back({std::make_unique<TokenEmbedding>(parameters, s.model.vocabulary_rows(s.sample.vocab),
                                                           s.model.d_model, s.model.init_std)});
  }
  return std::make_unique<ModalEmbedding>(std::move(modalities), s.sample.feature_rows());
}

static int64_t width_of(const ModelConfig& model) {
  return model.contrast.width > 0 ? model.contrast.width : model.d_model;
}

static Parameter& add_head(ParameterStore& parameters, const ModelSetup& s, const std::string& name) {
  return parameters.add({ParameterRole::head}, {name,
                                                Shape{width_of(s.model), s.model.d_model},
                                                ParameterGroup::shared,
                                                {Initialisation::Kind::normal, s.model.init_std}});
}

static Parameter& add_scale(ParameterStore& parameters, const ContrastConfig& contrast) {
  Parameter scale{.name = "contrast.log_scale",
                  .shape = Shape{1},
                  .group = contrast.learn_temperature ? ParameterGroup::shared : ParameterGroup::untrained,
                  .initialisation = {Initialisation::Kind::constant, -std::log(contrast.temperature)}};
  scale.decay = false;
  return parameters.add({ParameterRole::head}, scale);
}

PairModel::PairModel(ParameterStore& parameters, const ModelSetup& setup)
    : Model(parameters, setup, make_embedding(parameters, setup), width_of(setup.model)),
      pooling_(setup.model.pooling == "last" ? Pooling::last : Pooling::mean),
      width_(width_of(setup.model)),
      planned_pairs_(setup.step_samples),
      planned_own_(divide_up(setup.step_samples, setup.groups.world->size())),
      world_(*setup.groups.world),
      signals_(setup.signals),
      second_head_(add_head(parameters, setup, "second_head.weight"),
                   setup.model.bias.head
                       ? &parameters.add({ParameterRole::head}, bias_vector("second_head.bias", width_))
                       : nullptr,
                   {}, setup.label_smoothing.make(setup.run)),
      log_scale_(add_scale(parameters, setup.model.contrast)) {}

void PairModel::check(const ModelConfig& model, const SampleShape&) {
  if (model.tie_embeddings) {
    raise<UsageError>("{}: cannot be used with task: pairs, whose heads have no tokens", model.where("tie_embeddings"));
  }
  if (model.pooling == "class_token") {
    raise<UsageError>("{}: task: pairs pools a part by mean or last; a class token is not supported",
                      model.where("pooling"));
  }
}

void PairModel::begin(int64_t samples) {
  gallery_.clear(samples, width_);
  is_complete_ = false;
  first_own_ = samples, end_own_ = 0;
}

void PairModel::forward(Context& ctx, const TokenBatch& batch) {
  hidden_ = backbone_.forward(ctx, batch);
  const Tensor pooled = ctx.allocate(Shape{batch.sequences, hidden_.dim(1)});
  pool_forward(ctx, pooled, hidden_, batch.targets, pooling_);
  finish(ctx, pooled);
  for (int part = 0; part < 2; ++part) {
    const auto p = static_cast<size_t>(part);
    inputs_[p] = ctx.allocate(Shape{batch.samples(), hidden_.dim(1)});
    take_modality(ctx, inputs_[p], head_input_, {.modality = part, .modalities = 2, .time = 1});
    projections_[p] = (part == 0 ? head_ : second_head_).logits(ctx, inputs_[p]);
    units_[p] = ctx.allocate(projections_[p].shape);
    norms_[p] = ctx.allocate_wide(Shape{batch.samples()});
    normalise_rows_forward(ctx, units_[p], norms_[p], projections_[p], 0);
  }
  keep(ctx, batch);
}

static void append_doubles(Context& ctx, std::vector<double>& list, ConstTensor x, std::vector<char>& buffer) {
  const ConstTensor host = on_host(ctx, x, buffer);
  for (int64_t i = 0; i < host.size(); ++i) {
    list.push_back(host.dtype == DType::f64    ? host.as<double>()[i]
                   : host.dtype == DType::bf16 ? static_cast<double>(to_float(host.as<BFloat16>()[i]))
                                               : static_cast<double>(host.as<float>()[i]));
  }
}

// Copies the batch's vectors to their places in the gallery. When a step's passes are run a second time, it has them.
void PairModel::keep(Context& ctx, const TokenBatch& batch) {
  if (ctx.planning || is_complete_ || gallery_.samples() == 0 || batch.samples() == 0) return;
  auto& [vectors, weights, labels, _] = reused_;
  reused_.clear();
  for (size_t p = 0; p < 2; ++p) append_doubles(ctx, vectors[p], units_[p], buffers_[0]);
  append_integers(ctx, labels, batch.labels);
  if (batch.weights) append_doubles(ctx, weights, batch.weights, buffers_[0]);
  const int64_t first = first_pair(ctx, batch);
  for (int64_t i = 0; i < batch.samples(); ++i) {
    const auto at = [&](size_t part) {
      return std::span(vectors[part]).subspan(as_index(i * width_), as_index(width_));
    };
    gallery_.set(first + i, at(0), at(1), labels[as_index(i)], weights.empty() ? 1 : weights[as_index(2 * i)]);
  }
  first_own_ = std::min(first_own_, first);
  end_own_ = std::max(end_own_, std::min(first + batch.samples(), gallery_.samples()));
}

void PairModel::complete(Context& ctx) {
  if (!ctx.planning) {
    if (gallery_.samples() == 0) return;
    gallery_.gather(world_);
    reused_.clear();
    append_doubles(ctx, reused_.weights, log_scale_.value, buffers_[0]);
    scale_ = std::min(std::exp(reused_.weights[0]), kMostScale);
  }
  is_complete_ = true;
  if (ctx.training) compare_own(ctx);
}

// Values in memory that ops can use, in `dtype`, from memory that lives as long as `buffer`.
template <class T>
static ConstTensor converted(Context& ctx, ScratchScope& scratch, const std::vector<T>& values, Shape shape,
                             DType dtype, std::vector<char>& buffer) {
  const DType host_dtype = dtype == DType::bf16 ? DType::f32 : dtype;
  buffer.resize(values.size() * size_of(host_dtype));
  const auto fill = [&]<class To>(To* to) {
    std::transform(values.begin(), values.end(), to, [](T value) { return static_cast<To>(value); });
  };
  if (host_dtype == DType::f64) {
    fill(reinterpret_cast<double*>(buffer.data()));
  } else if (host_dtype == DType::f32) {
    fill(reinterpret_cast<float*>(buffer.data()));
  } else {
    fill(reinterpret_cast<int32_t*>(buffer.data()));
  }
  const ConstTensor moved =
      on_device(ctx, scratch, BasicTensor<const void>{buffer.data(), shape, host_dtype, Device::cpu});
  if (dtype == host_dtype) return moved;
  const Tensor narrow = scratch.allocate(shape, dtype);
  convert(ctx, narrow, moved);
  return narrow;
}

PairModel::Candidates PairModel::candidates(Context& ctx, ScratchScope& scratch) {
  const int64_t pairs = step_pairs(ctx);
  Candidates all;
  reused_.clear();
  std::vector<double>& values = reused_.vectors[0];
  for (int part = 0; part < 2; ++part) {
    const auto p = static_cast<size_t>(part);
    values.clear();
    for (int64_t i = 0; !ctx.planning && i < pairs; ++i) {
      const auto unit = gallery_.vector(i, part);
      values.insert(values.end(), unit.begin(), unit.end());
    }
    all.units[p] = converted(ctx, scratch, values, Shape{pairs, width_}, ctx.dtype, buffers_[p]);
    const int64_t n = pairs * kContrastColumns;
    values.assign(statistics_.begin() + std::min(part * n, std::ssize(statistics_)),
                  statistics_.begin() + std::min((part + 1) * n, std::ssize(statistics_)));
    all.statistics[p] =
        converted(ctx, scratch, values, Shape{pairs, kContrastColumns}, wide(ctx.dtype), buffers_[2 + p]);
  }
  std::vector<int32_t>& classes = reused_.labels;
  for (int64_t i = 0; !ctx.planning && i < pairs; ++i) classes.push_back(gallery_.label(i));
  all.classes = converted(ctx, scratch, classes, Shape{pairs}, DType::i32, buffers_[4]);
  return all;
}

int64_t PairModel::chunk_rows(const Context& ctx, int64_t rows) const {
  const int64_t bytes = ctx.device == Device::cpu ? kScoreBytes : kScoreBytesOnDevice;
  const int64_t row = std::max<int64_t>(step_pairs(ctx), 1) * static_cast<int64_t>(size_of(wide(ctx.dtype)));
  return std::clamp<int64_t>(bytes / row, std::min<int64_t>(rows, 64), std::max<int64_t>(rows, 1));
}

void PairModel::score(Context& ctx, Tensor scores, ConstTensor queries, ConstTensor all) const {
  linear_forward(ctx, scores, queries, all);
  scale(ctx, scores, scale_);
}

// The losses of this rank's pairs. Those of other ranks are not needed, but their gradients are functions of these
// losses' statistics, so all ranks get them.
void PairModel::compare_own(Context& ctx) {
  const int64_t pairs = step_pairs(ctx);
  statistics_.assign(ctx.planning ? 0 : as_index(2 * pairs * kContrastColumns), 0.0);
  losses_.assign(ctx.planning ? 0 : as_index(2 * pairs), 0.0);
  correct_.assign(losses_.size(), 0);
  {
    ScratchScope scratch(ctx);
    const Candidates all = candidates(ctx, scratch);
    for (int from = 0; from < 2; ++from) compare_direction(ctx, from, all);
  }
  if (!ctx.planning && world_.size() > 1) world_.all_reduce_sum(as_tensor(std::span(statistics_)));
}

void PairModel::compare_direction(Context& ctx, int from, const Candidates& all) {
  const auto f = static_cast<size_t>(from);
  const int64_t pairs = step_pairs(ctx), first = ctx.planning ? 0 : std::min(first_own_, end_own_),
                end = ctx.planning ? planned_own_ : end_own_, chunk = chunk_rows(ctx, end - first);
  ScratchScope scratch(ctx);
  const Tensor scores = scratch.allocate_wide(Shape{chunk, pairs}), losses = scratch.allocate_wide(Shape{chunk}),
               correct = scratch.allocate(Shape{chunk}, DType::i32),
               statistics = scratch.allocate_wide(Shape{chunk, kContrastColumns});
  reused_.clear();
  std::vector<double>&row_losses = reused_.vectors[0], &row_statistics = reused_.vectors[1];
  std::vector<int32_t>& row_correct = reused_.labels;
  for (int64_t begin = first; begin < end; begin += chunk) {
    const int64_t count = std::min(chunk, end - begin);
    score(ctx, scores.slice(0, count), all.units[f].slice(begin, count), all.units[1 - f]);
    class_contrast_forward(ctx, losses.slice(0, count), correct.slice(0, count), statistics.slice(0, count),
                           scores.slice(0, count), all.classes.slice(begin, count), all.classes);
    if (ctx.planning) continue;
    append_doubles(ctx, row_losses, losses.slice(0, count), buffers_[5]);
    append_doubles(ctx, row_statistics, statistics.slice(0, count), buffers_[5]);
    append_integers(ctx, row_correct, correct.slice(0, count));
  }
  if (ctx.planning) return;
  std::copy(row_losses.begin(), row_losses.end(), losses_.begin() + from * pairs + first);
  std::copy(row_correct.begin(), row_correct.end(), correct_.begin() + from * pairs + first);
  for (int64_t i = first; i < end; ++i) {
    const double* row = row_statistics.data() + (i - first) * kContrastColumns;
    double* to = statistics_.data() + (from * pairs + i) * kContrastColumns;
    to[0] = row[0], to[1] = gallery_.weight(i) * row[1], to[2] = gallery_.weight(i) * row[2];
  }
}

Predictions PairModel::predictions(const TokenBatch&) const {
  raise<InternalError>("the predictions of pairs need those of the whole step");
}

Outcome PairModel::losses(Context&, const TokenBatch&) {
  raise<InternalError>("the losses of pairs need those of the whole step");
}

// The losses of the batch's pairs, which compare_own() has computed.
Outcome PairModel::outcome(Context& ctx, const TokenBatch& batch) {
  const int64_t n = batch.samples(), pairs = step_pairs(ctx), first = first_pair(ctx, batch);
  auto& [vectors, losses, correct, targets] = reused_;
  reused_.clear();
  for (int64_t i = first; !ctx.planning && i < first + n; ++i) {
    for (const int64_t from : {0, 1}) {
      losses.push_back(losses_[as_index(from * pairs + i)]);
      correct.push_back(correct_[as_index(from * pairs + i)]);
      targets.push_back(gallery_.label(i));
    }
  }
  Outcome result{ctx.allocate_wide(Shape{2 * n}), ctx.allocate(Shape{2 * n}, DType::i32), {}, {}};
  const Tensor labels = ctx.allocate(Shape{2 * n}, DType::i32);
  const auto put = [&](Tensor to, const auto& values) {
    ScratchScope scratch(ctx);
    copy(ctx, to, converted(ctx, scratch, values, to.shape, to.dtype, buffers_[6]));
  };
  put(result.losses, losses);
  put(result.correct, correct);
  put(labels, targets);
  result.targets = labels;
  if (!signals_.any()) return result;
  TokenSignals signals{result.losses};
  signals.routing = backbone_.routing_signals();
  for (Tensor* signal :
       {&signals.routing.router_entropy, &signals.routing.expert_variance, &signals.routing.router_uncertainty}) {
    if (!*signal) continue;
    const Tensor mean = ctx.allocate_wide(Shape{batch.sequences, 1});
    pool_forward(ctx, mean, signal->reshape(Shape{batch.tokens(), 1}), batch.targets, Pooling::mean);
    *signal = mean.reshape(Shape{batch.sequences});  // two sequences of a sample, and two predictions
  }
  result.signals = ctx.allocate_wide(Shape{n, kNumMeasuredSignals});
  sample_signals(ctx, result.signals, signals, result.targets, 2);
  return result;
}

// The gradient of the objective with respect to the batch's unit vectors, of both directions' losses. `scores`: room
// for a chunk of scores.
Tensor PairModel::unit_gradient(Context& ctx, ScratchScope& scratch, int from, const Candidates& all, Tensor scores,
                                double gradient_scale, int64_t first) {
  const auto f = static_cast<size_t>(from);
  const int64_t n = units_[f].dim(0), chunk = scores.dim(0);
  const Tensor d_unit = scratch.allocate(units_[f].shape);
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t count = std::min(chunk, n - begin), row = ctx.planning ? 0 : first + begin;
    const Tensor part = scores.slice(0, count);
    score(ctx, part, units_[f].slice(begin, count), all.units[1 - f]);
    class_contrast_backward(ctx, part, all.statistics[f].slice(row, count), all.statistics[1 - f],
                            all.classes.slice(row, count), all.classes, gradient_scale);
    linear_backward_input(ctx, d_unit.slice(begin, count), part, all.units[1 - f]);
  }
  scale(ctx, d_unit, scale_);
  return d_unit;
}

Outcome PairModel::losses_and_backward(Context& ctx, const TokenBatch& batch, double gradient_scale) {
  MOE_CHECK(is_complete_, "a step of pairs must be complete before its losses");
  const Outcome result = outcome(ctx, batch);
  const Tensor d_hidden = ctx.allocate(hidden_.shape);
  ScratchScope scratch(ctx);
  const int64_t n = batch.samples(), first = first_pair(ctx, batch);
  const Candidates all = candidates(ctx, scratch);
  const Tensor scores = scratch.allocate_wide(Shape{chunk_rows(ctx, n), step_pairs(ctx)});
  const Tensor d_input = scratch.allocate(head_input_.shape), d_pooled = scratch.allocate(head_input_.shape);
  for (int part = 0; part < 2; ++part) {
    const auto p = static_cast<size_t>(part);
    ScratchScope inner(ctx);
    const Tensor d_unit = unit_gradient(ctx, inner, part, all, scores, gradient_scale, first);
    if (part == 0 && log_scale_.gradient) {  // each score has the scale as a factor, so one side's vectors have it all
      const Tensor dots = inner.allocate_wide(Shape{n});
      row_dots(ctx, dots, units_[p], d_unit);
      bias_backward(ctx, log_scale_.gradient, dots.reshape(Shape{n, 1}));
    }
    const Tensor d_projection = inner.allocate(projections_[p].shape), d_part = inner.allocate(inputs_[p].shape);
    fill_zero(ctx, d_projection);
    normalise_rows_backward(ctx, d_projection, d_unit, projections_[p], norms_[p], 0);
    (part == 0 ? head_ : second_head_).backward(ctx, d_part, d_projection, inputs_[p]);
    put_modality(ctx, d_input, d_part, {.modality = part, .modalities = 2, .time = 1});
  }
  finish_backward(ctx, d_pooled, d_input);
  pool_backward(ctx, d_hidden, d_pooled, batch.targets, pooling_);
  TokenBatch judged = batch;  // the loss of a direction belongs to the part that it compares from
  judged.losses = {.losses = result.losses,
                   .targets = result.targets,
                   .tokens = batch.time,
                   .weights = batch.weights,
                   .tokens_of_weight = batch.time};
  backbone_.backward(ctx, judged, d_hidden);
  return result;
}

}  // namespace moe
