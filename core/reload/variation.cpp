#include "core/reload/variation.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "core/base/integer.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/model/model_summary.h"
#include "core/reload/closed_experts.h"
#include "core/tensor/copy.h"

namespace moe {

std::vector<std::string> settings_of(const std::string& request) {
  const size_t equals = request.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == request.size())
    raise<UsageError>("--vary {}: expected KEY=V1|V2|...", request);
  std::vector<std::string> settings;
  for (const std::string& value : split(request.substr(equals + 1), '|'))
    settings.push_back(request.substr(0, equals + 1) + value);
  return settings;
}

std::string router_setting(const std::string& kind, const TrainConfig& config) {
  if (kind == "uniform") return "moe.router={kind: uniform}";
  if (kind == "random" || kind == "hash")
    return fmt::format("moe.router={{kind: {}, k: {}}}", kind, experts_per_token(config));
  raise<UsageError>("--router {}: expected random, uniform, hash or oracle, which have no learned parameters", kind);
}

VariedEvaluation Variations::evaluate(const std::string& name, LoadedRun& run) const {
  const auto start = std::chrono::steady_clock::now();
  VariedEvaluation result{name, moe::evaluate(*run.state, run.groups, set_, sequences_)};
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.evaluation.metrics = task_.metrics();
  const Model& model = *run.state->model;
  // A forward pass takes a third of a training step's operations.
  result.flops_per_token = dense_flops_per_token(run.state->parameters, model, task_.shape().time) / 3;
  for (const MoELayer* layer : model.moe_layers()) {
    const LoadStats& load = layer->load();
    const double experts = load.assignments() * (1 - load.dropped_share()) / std::max(load.tokens(), 1.0);
    result.experts_per_token += experts / static_cast<double>(model.moe_layers().size());
    result.flops_per_token += layer->flops_per_assignment() / 3 * experts;
  }
  return result;
}

std::vector<VariedEvaluation> Variations::without_each_expert(LoadedRun& run) const {
  std::vector<VariedEvaluation> results;
  for (MoELayer* layer : run.state->model->moe_layers()) {
    for (int64_t expert = 0; expert < layer->num_experts(); ++expert) {
      ClosedExperts closed(run, layer->num_experts());
      std::vector<int32_t> mask(static_cast<size_t>(layer->num_experts()));
      mask[as_index(expert)] = 1;
      closed.close(*layer, as_tensor(std::span(mask)));
      results.push_back(evaluate(fmt::format("without expert {} of layer {}", expert, layer->layer()), run));
    }
  }
  return results;
}

static int64_t most_experts(const LoadedRun& run) {
  int64_t most = 0;
  for (const MoELayer* layer : run.state->model->moe_layers()) most = std::max(most, layer->num_experts());
  return most;
}

VariedEvaluation Variations::with_busiest(LoadedRun& run, int64_t count) const {
  ClosedExperts closed(run, most_experts(run));
  for (MoELayer* layer : run.state->model->moe_layers()) {
    const std::span<const double> counts = layer->load().counts;
    if (count < 1 || count > layer->num_experts())
      raise<UsageError>("--experts {}: expected 1 to {}", count, layer->num_experts());
    std::vector<int32_t> order(counts.size()), mask(counts.size(), 1);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return counts[as_index(a)] > counts[as_index(b)]; });
    for (int64_t i = 0; i < count; ++i) mask[as_index(order[static_cast<size_t>(i)])] = 0;
    closed.close(*layer, as_tensor(std::span(mask)));
  }
  return evaluate(fmt::format("the {} busiest experts", count), run);
}

VariedEvaluation Variations::in_hindsight(LoadedRun& run) const {
  Model& model = *run.state->model;
  Batch batch;
  set_.load(0, 1, batch);
  if (model.predictions_per_sample(batch.length) != batch.length)
    throw UsageError("--router oracle: needs a model that predicts something for every token");
  const int64_t tokens = set_.num_sequences() * batch.length, most = most_experts(run);
  ClosedExperts chosen(run, tokens * most);
  std::vector<float> losses, some;  // (tokens, experts): losses of other ranks' tokens stay 0, and their choice is not
                                    // used
  for (MoELayer* layer : model.moe_layers()) {
    const int64_t experts = layer->num_experts();
    losses.assign(static_cast<size_t>(tokens * experts), 0);
    for (int64_t expert = 0; expert < experts; ++expert) {
      ClosedExperts others(run, experts);
      std::vector<int32_t> mask(static_cast<size_t>(experts), 1);
      mask[as_index(expert)] = 0;
      others.close(*layer, as_tensor(std::span(mask)));
      moe::evaluate(*run.state, run.groups, set_, sequences_, [&](int64_t first, const Outcome& found) {
        some.clear();
        append_floats(run.state->ctx, some, found.losses);
        for (size_t i = 0; i < some.size(); ++i) {
          losses[(static_cast<size_t>(first) + i) * static_cast<size_t>(experts) + static_cast<size_t>(expert)] =
              some[i];
        }
      });
    }
    std::vector<int32_t> mask(losses.size(), 1), order(static_cast<size_t>(experts));
    for (size_t token = 0; token < static_cast<size_t>(tokens); ++token) {
      const float* of_token = losses.data() + token * order.size();
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return of_token[a] < of_token[b]; });
      for (int64_t i = 0; i < std::min(layer->experts_per_token(), experts); ++i)
        mask[token * order.size() + static_cast<size_t>(order[as_index(i)])] = 0;
    }
    Tensor by_token = as_tensor(std::span(mask));
    by_token.shape = Shape{tokens, experts};
    chosen.close(*layer, by_token);
    log::info("oracle: chose the experts of layer {} after {} evaluations", layer->layer(), experts);
  }
  return evaluate(std::string(kOracle), run);
}

}  // namespace moe
