#include "core/inspect/gradient_variance.h"

#include <array>
#include <cmath>
#include <filesystem>

#include "core/base/json.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/ops/elementwise.h"
#include "core/optim/gradient_norm.h"
#include "core/record/run_folder.h"
#include "core/reload/load_run.h"
#include "core/step/capacity_state.h"
#include "core/step/train_step.h"
#include "core/tensor/copy.h"
#include "core/train/collapse_alarm.h"
#include "core/train/training_batches.h"

namespace moe {
namespace {

// A vector with the gradient's layout, of this rank: by group of parameters.
using Vector = std::array<std::vector<double>, kTrainedGroups.size()>;

class Gradients {
 public:
  Gradients(TrainingState& state, const ProcessGroups& groups) : state_(state), groups_(groups) {}

  void clear() {
    for (const ParameterGroup group : kTrainedGroups) fill_zero(state_.ctx, state_.parameters.buffer(group).gradient);
  }
  void add_to(Vector& sum) {
    for (size_t g = 0; g < kTrainedGroups.size(); ++g) {
      values_.clear();
      append_floats(state_.ctx, values_, state_.parameters.buffer(kTrainedGroups[g]).gradient);
      sum[g].resize(values_.size());
      for (size_t i = 0; i < values_.size(); ++i) sum[g][i] += static_cast<double>(values_[i]);
    }
  }
  // Dot product over all parameters, including those of experts on other ranks. Collective.
  double dot(const Vector& a, const Vector& b) const {
    double result = 0;
    for (size_t g = 0; g < kTrainedGroups.size(); ++g) {
      double sum = 0;
      for (size_t i = 0; i < a[g].size(); ++i) sum += a[g][i] * b[g][i];
      if (kTrainedGroups[g] == ParameterGroup::expert) groups_.expert->all_reduce_sum(as_tensor(std::span(&sum, 1)));
      result += sum;
    }
    return result;
  }

 private:
  TrainingState& state_;
  const ProcessGroups& groups_;
  std::vector<float> values_;
};

// What the measurements of all samplers have in common.
struct Measurement {
  const std::string& checkpoint;
  const RunState& saved;
  const Task& task;
  const ProcessGroups& groups;
  int64_t batches;
};

// The batches that the curriculum of `config` draws after the checkpoint, without updates. `mean`: the mean gradient.
GradientVariance measure(const Measurement& m, const TrainConfig& config, TrainStep& step, Gradients& gradients,
                         Vector& mean) {
  Curriculum curriculum({.config = config.curriculum,
                         .samples = m.task.num_samples(),
                         .batch = config.train.batch,
                         .seed = static_cast<uint64_t>(config.data_seed()),
                         .run = m.saved.length,
                         .data = m.task.samples()},
                        "");
  if (curriculum.has_store()) curriculum.read(m.checkpoint + "/" + Curriculum::kFile);
  TrainingBatches source(config, m.task, curriculum, m.saved.length, m.saved.draw_shift);
  GradientVariance result;
  result.sampler = config.curriculum.sampler.kind();
  const auto n = static_cast<double>(m.batches);
  for (int64_t i = 0; i < m.batches; ++i) {
    LocalBatch batch = source.draw(m.saved.step + i, *m.groups.world);
    batch.begins = batch.begins || i == 0 || !curriculum.stream(m.saved.step + i);
    gradients.clear();
    const StepOutcome outcome = step.accumulate(batch, m.saved.step + i, 0);
    if (!outcome.finite())
      raise<DivergedError>("{}: loss {}, gradient norm {}", m.checkpoint, outcome.loss, outcome.norm);
    gradients.add_to(mean);
    result.loss += outcome.loss / n;
    result.mean_square += outcome.norm * outcome.norm / n;
  }
  for (std::vector<double>& group : mean) {
    for (double& value : group) value /= n;
  }
  result.variance = n / (n - 1) * (result.mean_square - gradients.dot(mean, mean));
  return result;
}

}  // namespace

GradientVarianceReport gradient_variance(const std::string& run_or_checkpoint, const std::string& which,
                                         int64_t batches, const std::string& data, std::shared_ptr<Communicator> world,
                                         const DeviceChoice& device) {
  if (batches < 2) throw UsageError("a variance needs at least 2 batches");
  const std::string path = find_checkpoint(run_or_checkpoint, which);
  const RunState saved = load_run_state(path);
  const TrainConfig config = with_saved_experts(load_run_config(path), saved.experts, path);
  TrainConfig uniform = config;
  uniform.curriculum = CurriculumConfig();
  const std::unique_ptr<Task> task = open_trained_task(config, path, saved.identity, data);
  const ProcessGroups groups =
      ProcessGroups::make(communicator_for(device, config.parallel.communication, std::move(world)),
                          config.parallel.expert, smallest_experts(config.model, config.moe));
  const StateSetup setup{.config = config,
                         .sample = task->shape(),
                         .groups = groups,
                         .run = saved.length,
                         .precision = device.precision,
                         .device = device.device,
                         .device_index = device.index,
                         .queue = device.queue};
  TrainingState state(setup, plan_memory(setup), false);
  load_tensors(path, state.parameters, nullptr);
  restore_capacity_state(*state.model, saved.capacity, path);
  // The alarm may have raised the weights of the balance losses.
  CollapseAlarm(config.moe.alarm, state.model->moe_layers().size()).restore(*state.model, saved.alarm, path);

  GradientVarianceReport report{.checkpoint = path,
                                .step = saved.step,
                                .batches = batches,
                                .batch = config.train.batch,
                                .samples = task->num_samples(),
                                .samplers = {}};
  Gradients gradients(state, groups);
  TrainStep step(state, config, groups, saved.length);
  std::vector<Vector> means;
  std::vector<const TrainConfig*> configs{&config};
  if (config.curriculum.sampler.kind() != uniform.curriculum.sampler.kind()) configs.push_back(&uniform);
  const Measurement measurement{
      .checkpoint = path, .saved = saved, .task = *task, .groups = groups, .batches = batches};
  for (const TrainConfig* c : configs)
    report.samplers.push_back(measure(measurement, *c, step, gradients, means.emplace_back()));
  for (size_t i = 0; i < means.size(); ++i) {
    const Vector& reference = means.back();
    report.samplers[i].cosine = gradients.dot(means[i], reference) /
                                std::sqrt(gradients.dot(means[i], means[i]) * gradients.dot(reference, reference));
  }
  return report;
}

std::string to_words(const GradientVarianceReport& r) {
  std::string text = fmt::format(
      "{} | {} batches of {} out of {} samples each, no update\n\n{:<14}{:>9}{:>12}{:>12}{:>12}"
      "{:>11}{:>9}\n",
      r.checkpoint, r.batches, r.batch, r.samples, "sampler", "loss", "norm (rms)", "variance", "to uniform", "signal",
      "cosine");
  const double reference = r.samplers.back().variance;
  for (const GradientVariance& s : r.samplers) {
    text += fmt::format("{:<14}{:>9.4f}{:>12.4g}{:>12.4g}{:>11.3f}x{:>11.4g}{:>9.3f}\n", s.sampler, s.loss,
                        std::sqrt(s.mean_square), s.variance, s.variance / reference, s.signal(), s.cosine);
  }
  return text +
         "\nvariance: of a batch's gradient, summed over the parameters; signal: the squared norm of its mean, "
         "without the contribution of the variance; cosine: between the mean gradients.\n";
}

Json to_json(const GradientVarianceReport& r) {
  Json json{{"checkpoint", r.checkpoint}, {"step", r.step},       {"batches", r.batches},
            {"batch", r.batch},           {"samples", r.samples}, {"samplers", Json::array()}};
  for (const GradientVariance& s : r.samplers) {
    json["samplers"].push_back({{"sampler", s.sampler},
                                {"loss", s.loss},
                                {"mean_square", s.mean_square},
                                {"variance", s.variance},
                                {"signal", s.signal()},
                                {"cosine", s.cosine}});
  }
  return json;
}

}  // namespace moe
