#include "core/train/start_from.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/base/name_hash.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/tensor_file.h"
#include "core/train/unit_draws.h"

namespace moe {
namespace {

// Draws of an expert that is made of a dense layer.
enum Draw : uint64_t { kNoise, kUnits, kFresh };

class Start {
 public:
  Start(TrainingState& state, const TrainConfig& config, const std::string& checkpoint, bool keep_head)
      : state_(state),
        init_(config.init),
        matrices_(width_factor(activation_from_name(config.model.activation))),
        source_(checkpoint, "model"),
        folder_(checkpoint),
        keep_head_(keep_head) {
    for (const auto& [name, tensor] : source_.tensors()) {
      if (has_place_here(name)) unused_.insert(name);
    }
  }

  StartReport run() {
    StartReport report;
    for (const auto& [name, tensor] : source_.tensors()) {
      if (!has_place_here(name)) report.left_out.push_back(name);
    }
    for (const ParameterGroup group : kParameterGroups) {
      state_.parameters.for_each_named(group, state_.parameters.buffer(group).value, [&](const NamedTensor& t) {
        if (!has_place_here(t.name)) {
          report.fresh.push_back(t.name);
        } else if (source_.contains(t.name)) {
          read(t);
          unused_.erase(t.name);
          ++report.copied;
        } else if (const MoELayer* layer = layer_in_place_of_dense(t.name)) {
          report.upcycled.insert(layer->name());
          fill(t, *layer);
        } else {
          raise<CheckpointError>("init.from: {} holds no tensor {}: its model is another", folder_, t.name);
        }
      });
    }
    refuse_unused();
    for (const ParameterGroup group : kTrainedGroups) {
      // Exact where parameters are rounded.
      if (const Tensor exact = state_.optimizer->master(group)) fill_exact(group, exact);
    }
    report.checkpoint = folder_;
    return report;
  }

 private:
  // Whether a tensor is the same in both models, by its name.
  bool has_place_here(const std::string& name) const {
    return keep_head_ || (name.rfind("head.", 0) != 0 && name.rfind("class_token.", 0) != 0);
  }

  void read(const NamedTensor& t) {
    if (t.name != "positions.weight") return source_.read(t.name, t.tensor);
    const ConstTensor all = source_.at(t.name);
    const int64_t wanted = t.tensor.dim(0);
    if (all.dim(0) < wanted) {
      raise<CheckpointError>("init.from: {} has learned {} positions, data.sequence is {}", folder_, all.dim(0),
                             wanted);
    }
    if (all.dim(1) != t.tensor.dim(1)) return source_.read(t.name, t.tensor);  // which refuses
    write_tensor(t.tensor, all.slice(0, wanted));
  }

  // "blocks.2." of "blocks.2.moe".
  static std::string block_of(const MoELayer& layer) { return layer.name().substr(0, layer.name().rfind('.') + 1); }

  // The layer that a tensor belongs to, if the checkpoint has a dense one in its place.
  const MoELayer* layer_in_place_of_dense(const std::string& tensor) const {
    for (const MoELayer* layer : state_.model->moe_layers()) {
      if (tensor.rfind(layer->name() + ".", 0) == 0 && source_.contains(dense_name(*layer, "input.weight"))) {
        return layer;
      }
    }
    return nullptr;
  }
  static std::string dense_name(const MoELayer& layer, const std::string& which) {
    return block_of(layer) + "feed_forward." + which;
  }

  // The values of a tensor of such a layer; of those that stay as they were drawn, nothing.
  std::vector<float> values_of(const NamedTensor& t, const MoELayer& layer) {
    const std::string rest = t.name.substr(layer.name().size() + 1);
    if (rest == "shared.output.weight") return std::vector<float>(static_cast<size_t>(t.tensor.size()), 0.0f);
    if (rest.rfind("experts.", 0) != 0) return {};
    // input or output, weight or bias
    const std::string which = rest.substr(rest.find('.', std::string("experts.").size()) + 1);
    const bool is_output = which.rfind("output.", 0) == 0, is_bias = which.ends_with(".bias");
    if (is_bias && !source_.contains(dense_name(layer, which))) return {};
    const ConstTensor dense = source_.at(dense_name(layer, which));
    unused_.erase(dense_name(layer, which));
    if (dense.shape != t.tensor.shape) {
      raise<CheckpointError>(
          "init.from: {}: the feed-forward layer of {} is {}, an expert {}; moe.d_ff must be what the dense model has",
          folder_, block_of(layer) + "feed_forward", dense.shape.to_string(), t.tensor.shape.to_string());
    }
    std::vector<float> values(dense.as<float>(), dense.as<float>() + dense.size());
    // Biases get no noise; redrawn units keep theirs.
    if (!is_bias) {
      add_noise(values, t.name);
      draw_units_anew(values, t.name, {dense.shape, is_output, matrices_});
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
  void fill_exact(ParameterGroup group, Tensor exact) {
    state_.parameters.for_each_named(group, exact, [&](const NamedTensor& t) {
      if (!has_place_here(t.name)) return;
      if (source_.contains(t.name)) return read(t);
      fill(t, *layer_in_place_of_dense(t.name));
    });
  }

  RandomKey key(const std::string& name, Draw draw) const {
    return {state_.ctx.seed, RandomPurpose::expert_life, name_stream(name), draw};
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

  // With clusters the units are chosen by them, once there are some (core/train/cluster_start.h).
  void draw_units_anew(std::vector<float>& x, const std::string& name, const ExpertMatrix& matrix) const {
    if (init_.reinitialise == 0 || init_.clusters.tokens > 0) return;
    const std::string expert = name.substr(0, name.find(matrix.is_output ? ".output." : ".input."));
    const RandomKey units = key(expert, kUnits);
    moe::draw_units_anew(
        x, matrix,
        [&](int64_t unit) {
          return static_cast<double>(units.uniform(static_cast<uint64_t>(unit))) < init_.reinitialise;
        },
        key(name, kFresh));
  }

  // What the checkpoint has and this model has no place for. Experts of other ranks have one.
  void refuse_unused() const {
    for (const std::string& name : unused_) {
      if (!has_place(name)) {
        raise<CheckpointError>("init.from: {} holds {}, for which this model has no place", folder_, name);
      }
    }
  }
  bool has_place(const std::string& name) const {
    for (const MoELayer* layer : state_.model->moe_layers()) {
      for (int64_t e = 0; e < layer->num_experts(); ++e) {
        if (name.rfind(fmt::format("{}.experts.{}.", layer->name(), e), 0) == 0) return true;
      }
    }
    return false;
  }

  TrainingState& state_;
  const InitConfig& init_;
  const int64_t matrices_;  // that an input matrix holds, one below the other
  TensorFolder source_;
  std::string folder_;
  bool keep_head_;
  std::set<std::string> unused_;
};

}  // namespace

StartReport start_from(TrainingState& state, const TrainConfig& config, bool keep_head) {
  const std::string checkpoint = find_checkpoint(config.init.from, config.init.checkpoint);
  const RunState source = load_run_state(checkpoint);
  Start start(state, config, checkpoint, keep_head);
  StartReport report = start.run();
  report.step = source.step;
  return report;
}

}  // namespace moe
