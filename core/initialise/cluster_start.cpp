#include "core/initialise/cluster_start.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/name_hash.h"
#include "core/initialise/exact_values.h"
#include "core/initialise/token_clusters.h"
#include "core/initialise/unit_draws.h"
#include "core/ops/matmul.h"
#include "core/ops/packed_weights.h"

namespace moe {
namespace {

enum Draw : uint64_t { kSeeds, kRows, kUnits };

double squares_of(const float* x, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// Returns the mean of the rows of x (rows, d).
std::vector<double> mean_row(const std::vector<float>& x, int64_t d) {
  std::vector<double> mean(static_cast<size_t>(d));
  const auto rows = std::ssize(x) / d;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < d; ++i) mean[as_index(i)] += static_cast<double>(x[as_index(r * d + i)]);
  }
  for (double& m : mean) m /= static_cast<double>(std::max<int64_t>(rows, 1));
  return mean;
}

ConstTensor rows_of(const std::vector<float>& x, int64_t columns) {
  return BasicTensor<const void>{x.data(), Shape{std::ssize(x) / columns, columns}, DType::f32, Device::cpu};
}

// Returns x (rows, in) W^T (out, in), computed on the host.
std::vector<float> product(const std::vector<float>& x, const float* weight, int64_t out, int64_t in) {
  std::vector<float> y(static_cast<size_t>(std::ssize(x) / in * out));
  Context host;
  linear_forward(host, Tensor{y.data(), Shape{std::ssize(x) / in, out}, DType::f32, Device::cpu}, rows_of(x, in),
                 BasicTensor<const void>{weight, Shape{out, in}, DType::f32, Device::cpu});
  return y;
}

class ClusterStart {
 public:
  ClusterStart(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups, const BatchSource& batches)
      : state_(state),
        config_(config),
        groups_(groups),
        batches_(batches),
        d_(config.model.d_model),
        activation_(activation_from_name(config.model.activation)) {}

  ClusterReport run(const std::set<std::string>& upcycled) {
    ClusterReport report;
    for (MoELayer* layer : state_.model->moe_layers()) {
      const std::vector<float> inputs = inputs_of(*layer);
      report.tokens = std::ssize(inputs) / d_;
      const TokenClusters clusters = cluster_tokens(inputs, d_, layer->num_experts(), config_.init.clusters.iterations,
                                                    key(layer->name(), kSeeds));
      const double deviation = set_router(*layer, clusters, inputs);
      if (config_.init.clusters.experts == "tokens") turn_to_tokens(*layer, clusters);
      if (config_.init.reinitialise > 0 && upcycled.count(layer->name()) > 0) draw_unused(*layer, clusters, inputs);
      report.layers.push_back({.layer = layer->layer(),
                               .sizes = clusters.sizes,
                               .mean_cosine = clusters.mean_cosine,
                               .iterations = clusters.iterations,
                               .logit_deviation = deviation});
    }
    return report;
  }

 private:
  RandomKey key(const std::string& name, Draw draw) const {
    return {state_.ctx.seed, RandomPurpose::clusters, name_stream(name), draw};
  }

  // Returns the layer's inputs (tokens, d_model) on every rank, in the order of the batches and without padding.
  std::vector<float> inputs_of(MoELayer& layer) {
    Context& ctx = state_.ctx;
    const ModeScope modes(ctx, {.training = false, .observe = false});
    const PackedWeightsScope packed(ctx);
    ctx.step = 0;
    std::vector<float> all, own;
    BatchBuffers buffers;
    layer.record_inputs(&own);
    for (int64_t i = 0; std::ssize(all) < config_.init.clusters.tokens * d_; ++i) {
      const LocalBatch batch = batches_(i);
      own.clear();
      for (int64_t m = 0; m < config_.train.micro_batches; ++m) {
        const Share share = share_of(batch.sequences, config_.train.micro_batches, m);
        ctx.activations->reset();
        ctx.scratch->reset();
        ctx.first_token = (batch.first_sequence + share.begin) * batch.time;
        state_.model->forward(ctx,
                              to_device(ctx, batch, share, state_.model->predictions_per_sample(batch.time), buffers));
      }
      if (!gather(batch, own, all)) throw DataError("init.clusters: a batch has no tokens");
    }
    layer.record_inputs(nullptr);
    return all;
  }

  // Appends the tokens of a batch to `all`; `own` holds this rank's part. Returns false when the batch has no tokens.
  bool gather(const LocalBatch& batch, const std::vector<float>& own, std::vector<float>& all) const {
    // Each position holds its token's input and a flag that is 1 for tokens and 0 for padding. A position is zero on
    // all ranks but its own, so the sum over ranks is an exact gather.
    const int64_t width = d_ + 1, places = batch.global_sequences * batch.time;
    std::vector<float> shared(static_cast<size_t>(places * width));
    float* place = shared.data() + batch.first_sequence * batch.time * width;
    for (int64_t t = 0; t < std::ssize(own) / d_; ++t, place += width) {
      std::copy_n(own.data() + t * d_, d_, place);
      const auto sequence = static_cast<size_t>(t / batch.time);
      place[d_] = batch.lengths.empty() || t % batch.time < batch.lengths[sequence] ? 1 : 0;
    }
    groups_.world->all_reduce_sum(as_tensor(std::span(shared)));
    const size_t before = all.size();
    for (int64_t t = 0; t < places; ++t) {
      const float* const token = shared.data() + t * width;
      if (token[d_] != 0) all.insert(all.end(), token, token + d_);
    }
    return all.size() > before;
  }

  // Returns the deviation of a token's logits; 0 where only the direction of rows matters.
  double set_router(MoELayer& layer, const TokenClusters& clusters, const std::vector<float>& inputs) {
    const ExpertDirections directions = layer.traits().directions;
    const Parameter& parameter = *directions.rows;
    const int64_t width = parameter.shape[1], experts = parameter.shape[0];
    std::vector<float> rows = clusters.centroids;
    if (const Parameter* p = directions.projection) {
      rows = product(rows, exact_values(state_, *p).data(), width, d_);
    }
    const double fresh =
        config_.init.clusters.scale * parameter.initialisation.value * std::sqrt(static_cast<double>(width));
    if (directions.unit) {
      for (int64_t e = 0; e < experts; ++e) {
        float* const row = rows.data() + e * width;
        const double factor = fresh / std::max(std::sqrt(squares_of(row, width)), 1e-30);
        for (int64_t i = 0; i < width; ++i) row[i] = static_cast<float>(factor * static_cast<double>(row[i]));
      }
      set_exact_values(state_, parameter, rows);
      return 0;
    }
    const std::vector<double> mean = mean_row(rows, width);
    for (size_t i = 0; i < rows.size(); ++i) {
      rows[i] = static_cast<float>(static_cast<double>(rows[i]) - mean[i % static_cast<size_t>(width)]);
    }
    const double norm = std::sqrt(squares_of(rows.data(), std::ssize(rows)) / static_cast<double>(experts));
    for (float& x : rows) x = static_cast<float>(static_cast<double>(x) * fresh / std::max(norm, 1e-30));
    set_exact_values(state_, parameter, rows);
    const std::vector<float> logits = product(inputs, rows.data(), experts, width);
    double squares = 0;
    for (int64_t t = 0; t < std::ssize(logits); t += experts) {
      const auto begin = logits.begin() + t;
      const double token_mean = std::accumulate(begin, begin + experts, 0.0) / static_cast<double>(experts);
      for (auto z = begin; z < begin + experts; ++z) squares += std::pow(static_cast<double>(*z) - token_mean, 2);
    }
    return std::sqrt(squares / static_cast<double>(logits.size()));
  }

  // Calls change(expert, matrix, values) for the input or output matrix of each expert of this rank.
  template <class Change>
  void change_experts(const MoELayer& layer, bool is_output, Change change) {
    const FeedForwardPart part = is_output ? FeedForwardPart::output_weight : FeedForwardPart::input_weight;
    for (const Parameter& p : state_.parameters.parameters()) {
      if (p.place.role != ParameterRole::expert || p.place.layer != layer.layer() || p.place.part != part) continue;
      const ExpertMatrix matrix{Shape{p.shape[1], p.shape[2]}, is_output, width_factor(activation_)};
      std::vector<float> all = exact_values(state_, p);
      const int64_t each = matrix.shape.size();
      for (int64_t e = 0; e < p.shape[0]; ++e) {
        std::vector<float> values(all.begin() + e * each, all.begin() + (e + 1) * each);
        change(p.experts[as_index(e)], matrix, values);
        std::copy(values.begin(), values.end(), all.begin() + e * each);
      }
      set_exact_values(state_, p, all);
    }
  }

  void turn_to_tokens(const MoELayer& layer, const TokenClusters& clusters) {
    const std::vector<double> mean = mean_row(clusters.directions, d_);
    change_experts(layer, false, [&](int64_t expert, const ExpertMatrix& matrix, std::vector<float>& values) {
      const std::vector<int64_t> members = clusters.members(expert);
      if (members.empty()) return;
      const RandomKey draw = key(expert_name(layer.name() + ".experts.{}", expert), kRows);
      std::vector<float> direction(static_cast<size_t>(d_));
      for (int64_t row = 0; row < matrix.shape[0]; ++row) {
        const int64_t token = members[draw.bits(static_cast<uint64_t>(row)) % members.size()];
        for (size_t i = 0; i < direction.size(); ++i) {
          direction[i] = static_cast<float>(
              static_cast<double>(clusters.directions[static_cast<size_t>(token * d_) + i]) - mean[i]);
        }
        float* const own = values.data() + row * d_;
        const double length = std::sqrt(squares_of(direction.data(), d_));
        if (length < 1e-6) continue;  // all tokens are equal, so there is no direction
        const double factor = std::sqrt(squares_of(own, d_)) / length;
        for (size_t i = 0; i < direction.size(); ++i) {
          own[i] = static_cast<float>(factor * static_cast<double>(direction[i]));
        }
      }
    });
  }

  // Mean absolute activation of each inner unit on the tokens of a cluster.
  std::vector<double> use_of_units(const std::vector<float>& inputs, const std::vector<int64_t>& members,
                                   const ExpertMatrix& matrix, const std::vector<float>& weight) const {
    constexpr size_t kTokens = 256;  // tokens at a time
    const int64_t d_ff = matrix.units();
    std::vector<double> use(static_cast<size_t>(d_ff));
    for (size_t begin = 0; begin < members.size(); begin += kTokens) {
      std::vector<float> x;
      for (size_t i = begin; i < std::min(members.size(), begin + kTokens); ++i) {
        x.insert(x.end(), inputs.begin() + members[i] * d_, inputs.begin() + (members[i] + 1) * d_);
      }
      const std::vector<float> z = product(x, weight.data(), matrix.shape[0], d_);
      std::vector<float> activated(static_cast<size_t>(std::ssize(x) / d_ * d_ff));
      Context host;
      activation_forward(host, Tensor{activated.data(), Shape{std::ssize(x) / d_, d_ff}, DType::f32, Device::cpu},
                         rows_of(z, matrix.shape[0]), activation_);
      for (size_t i = 0; i < activated.size(); ++i) {
        use[i % use.size()] += std::abs(static_cast<double>(activated[i]));
      }
    }
    return use;
  }

  void draw_unused(const MoELayer& layer, const TokenClusters& clusters, const std::vector<float>& inputs) {
    std::map<int64_t, std::vector<char>> drawn;  // per expert: the units to re-draw
    change_experts(layer, false, [&](int64_t expert, const ExpertMatrix& matrix, std::vector<float>& values) {
      const std::vector<double> use = use_of_units(inputs, clusters.members(expert), matrix, values);
      std::vector<size_t> order(use.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return use[a] < use[b]; });
      std::vector<char>& units = drawn[expert];
      units.resize(use.size());
      const auto count = std::llround(config_.init.reinitialise * static_cast<double>(use.size()));
      for (int64_t i = 0; i < count; ++i) units[order[as_index(i)]] = 1;
      draw(layer, expert, matrix, values, units);
    });
    change_experts(layer, true, [&](int64_t expert, const ExpertMatrix& matrix, std::vector<float>& values) {
      draw(layer, expert, matrix, values, drawn.at(expert));
    });
  }

  void draw(const MoELayer& layer, int64_t expert, const ExpertMatrix& matrix, std::vector<float>& values,
            const std::vector<char>& units) const {
    const std::string which = matrix.is_output ? ".output" : ".input";
    redraw_units(
        values, matrix, [&](int64_t unit) { return units[as_index(unit)] != 0; },
        key(expert_name(layer.name() + ".experts.{}" + which, expert), kUnits));
  }

  TrainingState& state_;
  const TrainConfig& config_;
  const ProcessGroups& groups_;
  const BatchSource& batches_;
  const int64_t d_;
  const Activation activation_;
};

}  // namespace

static void check_clusters(const TrainConfig& config, const Model& model) {
  const ClusterConfig& clusters = config.init.clusters;
  if (model.moe_layers().empty()) raise<UsageError>("{}: needs a MoE layer; this model has none", clusters.key());
  for (MoELayer* layer : model.moe_layers()) {
    const ExpertDirections directions = layer->traits().directions;
    if (!directions.rows) {
      raise<UsageError>("{}: cannot be used with router {}: {}", clusters.where("tokens"), config.moe.router.kind(),
                        directions.why_none);
    }
    if (clusters.tokens < layer->num_experts()) {
      raise<UsageError>("{}: {} tokens for {} experts", clusters.where("tokens"), clusters.tokens,
                        layer->num_experts());
    }
  }
}

void check_clusters(const TrainConfig& config, const SampleShape& sample, const RunLength& run) {
  if (config.init.clusters.tokens == 0) return;
  with_model(config, sample, run, [&](const Model& model) { check_clusters(config, model); });
}

ClusterReport start_from_clusters(TrainingState& state, const TrainConfig& config, const ProcessGroups& groups,
                                  const std::set<std::string>& upcycled, const BatchSource& batches) {
  check_clusters(config, *state.model);
  return ClusterStart(state, config, groups, batches).run(upcycled);
}

}  // namespace moe
