#include "core/initialise/start_from.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "core/base/name_hash.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/tensor_file.h"
#include "core/initialise/unit_draws.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/run_folder.h"
#include "core/tasks/task.h"

namespace moe {
namespace {

// Random streams for an expert that is made from a dense layer.
enum Draw : uint64_t { kNoise, kUnits, kFresh };

// The places of the tensors of a run's model, by name.
using Places = std::map<std::string, ParameterPlace>;

class Start {
 public:
  Start(TrainingState& state, const TrainConfig& config, const std::string& checkpoint, const Places& source_places,
        KeptParts kept)
      : state_(state),
        init_(config.init),
        matrices_(width_factor(activation_from_name(config.model.activation))),
        source_(checkpoint, "model"),
        folder_(checkpoint),
        kept_(kept) {
    for (const auto& [name, tensor] : source_.tensors()) {
      const auto found = source_places.find(name);
      if (found == source_places.end())
        raise<CheckpointError>("init.from: {} holds {}, which its configured model does not have", folder_, name);
      const ParameterPlace& place = found->second;
      (is_taken(place) ? unused_ : left_out_).insert(name);
      if (place.role == ParameterRole::feed_forward) dense_[{place.layer, place.part}] = name;
    }
  }

  StartReport run() {
    StartReport report;
    report.left_out = {left_out_.begin(), left_out_.end()};
    for (const ParameterGroup group : kParameterGroups) {
      state_.parameters.for_each_named(group, state_.parameters.buffer(group).value, [&](const NamedTensor& t) {
        if (!is_taken(t.parameter->place)) {
          report.fresh.push_back(t.name);
        } else if (source_.contains(t.name)) {
          read(t);
          unused_.erase(t.name);
          ++report.copied;
        } else if (const MoELayer* layer = layer_in_place_of_dense(t)) {
          report.upcycled.insert(layer->name());
          fill(t, *layer);
        } else {
          raise<CheckpointError>("init.from: {} holds no tensor {}: its model is different", folder_, t.name);
        }
      });
    }
    refuse_unused();
    for (const ParameterGroup group : kTrainedGroups) {
      // The master weights, where parameters are rounded.
      if (state_.optimizer && state_.optimizer->has_master()) fill_exact(group);
    }
    report.checkpoint = folder_;
    return report;
  }

 private:
  // Whether tensors at this place are copied from the checkpoint.
  bool is_taken(const ParameterPlace& place) const {
    if (place.role == ParameterRole::head) return kept_ == KeptParts::all;
    if (place.role == ParameterRole::class_token) return kept_ != KeptParts::body;
    return true;
  }

  void read(const NamedTensor& t) {
    if (t.parameter->place.role != ParameterRole::position) return source_.read(t.name, t.tensor);
    const ConstTensor all = source_.at(t.name);
    const int64_t wanted = t.tensor.dim(0);
    if (all.dim(0) < wanted) {
      raise<CheckpointError>("init.from: {} has learned {} positions, data.sequence is {}", folder_, all.dim(0),
                             wanted);
    }
    if (all.dim(1) != t.tensor.dim(1)) return source_.read(t.name, t.tensor);  // throws the error
    write_tensor(t.tensor, all.slice(0, wanted));
  }

  // The MoE layer that a tensor belongs to, if the checkpoint has a dense layer in its place.
  const MoELayer* layer_in_place_of_dense(const NamedTensor& t) const {
    for (const MoELayer* layer : state_.model->moe_layers()) {
      const bool is_dense_there = dense_.count({layer->layer(), FeedForwardPart::input_weight}) > 0;
      if (t.parameter->place.layer == layer->layer() && is_part_of_moe(*t.parameter)) {
        return is_dense_there ? layer : nullptr;
      }
    }
    return nullptr;
  }
  static bool is_part_of_moe(const Parameter& p) {
    const ParameterRole role = p.place.role;
    return role == ParameterRole::expert || role == ParameterRole::shared_expert || role == ParameterRole::router;
  }

  // The values of a tensor of such a layer; empty for those that keep their initial values.
  std::vector<float> values_of(const NamedTensor& t, const MoELayer& layer) {
    const ParameterPlace& place = t.parameter->place;
    if (place.role == ParameterRole::shared_expert && place.part == FeedForwardPart::output_weight) {
      return std::vector<float>(static_cast<size_t>(t.tensor.size()), 0.0f);
    }
    if (place.role != ParameterRole::expert) return {};
    const bool is_output = place.part == FeedForwardPart::output_weight || place.part == FeedForwardPart::output_bias;
    const bool is_bias = place.part == FeedForwardPart::input_bias || place.part == FeedForwardPart::output_bias;
    const auto found = dense_.find({place.layer, place.part});
    if (is_bias && found == dense_.end()) return {};
    MOE_CHECK(found != dense_.end(), "{} has no dense counterpart", t.name);
    const ConstTensor dense = source_.at(found->second);
    unused_.erase(found->second);
    if (dense.shape != t.tensor.shape) {
      raise<CheckpointError>("init.from: {}: {} is {}, an expert's {}; moe.d_ff must equal the dense model's d_ff",
                             folder_, found->second, dense.shape.to_string(), t.tensor.shape.to_string());
    }
    std::vector<float> values(dense.as<float>(), dense.as<float>() + dense.size());
    // Biases get no noise, and re-drawn units keep their biases.
    if (!is_bias) {
      add_noise(values, t.name);
      redraw_units(values, expert_name(layer.name() + ".experts.{}", t.expert), t.name,
                   {dense.shape, is_output, matrices_});
    }
    if (is_output) {
      for (float& x : values) x = static_cast<float>(init_.scale * static_cast<double>(x));
    }
    return values;
  }

  void fill(const NamedTensor& t, const MoELayer& layer) {
    const std::vector<float> values = values_of(t, layer);
    if (!values.empty()) write(t, values);
  }
  static void write(const NamedTensor& t, const std::vector<float>& values) {
    write_tensor(t.tensor, BasicTensor<const void>{values.data(), t.tensor.shape, DType::f32, Device::cpu});
  }
  void fill_exact(ParameterGroup group) {
    state_.optimizer->fill_state(group, Optimizer::kMaster, [&](const NamedTensor& t) {
      if (!is_taken(t.parameter->place)) return;
      if (source_.contains(t.name)) return read(t);
      fill(t, *layer_in_place_of_dense(t));
    });
  }

  RandomKey key(const std::string& name, Draw draw) const {
    return {state_.ctx.seed, RandomPurpose::expert_lifecycle, name_stream(name), draw};
  }

  void add_noise(std::vector<float>& x, const std::string& name) const {
    if (init_.noise == 0) return;
    const auto [mean, deviation] = mean_and_deviation(x);
    const double root_mean_square = std::sqrt(mean * mean + deviation * deviation);
    const RandomKey noise = key(name, kNoise);
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] += static_cast<float>(init_.noise * root_mean_square * static_cast<double>(noise.normal(i)));
    }
  }

  // With init.clusters the units are chosen by the clusters, later (core/initialise/cluster_start.h).
  void redraw_units(std::vector<float>& x, const std::string& expert, const std::string& name,
                    const ExpertMatrix& matrix) const {
    if (init_.reinitialise == 0 || init_.clusters.tokens > 0) return;
    const RandomKey units = key(expert, kUnits);
    moe::redraw_units(
        x, matrix,
        [&](int64_t unit) {
          return static_cast<double>(units.uniform(static_cast<uint64_t>(unit))) < init_.reinitialise;
        },
        key(name, kFresh));
  }

  // Throws for tensors of the checkpoint that this model has no place for. Experts of other ranks do have one.
  void refuse_unused() const {
    std::set<std::string> experts;
    for (const Parameter& p : state_.parameters.parameters()) {
      if (p.group != ParameterGroup::expert) continue;
      for (const MoELayer* layer : state_.model->moe_layers()) {
        if (layer->layer() != p.place.layer) continue;
        for (int64_t e = 0; e < layer->num_experts(); ++e) experts.insert(expert_name(p.name, e));
      }
    }
    for (const std::string& name : unused_) {
      if (experts.count(name) > 0) continue;
      raise<CheckpointError>("init.from: {} holds {}, for which this model has no place", folder_, name);
    }
  }

  TrainingState& state_;
  const InitConfig& init_;
  const int64_t matrices_;  // number of matrices in an input matrix, stacked by rows
  TensorFolder source_;
  std::string folder_;
  KeptParts kept_;
  // Tensors of the checkpoint: those that have not been used yet, those of its head that are left out, and the matrices
  // and biases of its dense layers.
  std::set<std::string> unused_, left_out_;
  std::map<std::pair<int, FeedForwardPart>, std::string> dense_;
};

Places places_in(const std::string& checkpoint, const RunState& run) {
  const TrainConfig config = with_saved_experts(load_run_config(checkpoint), run.experts, checkpoint);
  const TaskKind& task = tasks().at(config.task);
  const SampleShape sample =
      task.shape(config, read_description(config.task, checkpoint), description_file(task, checkpoint));
  return tensor_places(config, sample, run.length);
}

}  // namespace

StartReport start_from(TrainingState& state, const TrainConfig& config, KeptParts kept) {
  const std::string checkpoint = find_checkpoint(config.init.from, config.init.checkpoint);
  const RunState source = load_run_state(checkpoint);
  Start start(state, config, checkpoint, places_in(checkpoint, source), kept);
  StartReport report = start.run();
  report.step = source.step;
  return report;
}

}  // namespace moe
