#include "tests/support/tiny_run.h"

#include <algorithm>
#include <cmath>

#include "core/config/config_reader.h"
#include "core/ops/elementwise.h"
#include "core/tasks/classify_task.h"
#include "core/tensor/copy.h"
#include "data/labelled_format.h"

namespace moe {

TrainConfig config_from(const std::string& yaml) {
  TrainConfig config;
  read_config(parse_config(yaml, "test"), config);
  return config;
}

// The kind of the labelled samples that stand for those of the configured format; images for `auto`.
static std::string sample_kind(const TrainConfig& config) {
  for (const LabelledFormat& format : labelled_formats()) {
    if (format.name == config.data.labelled.format) return format.kind;
  }
  return "images";
}

SampleShape tiny_shape(const TrainConfig& config, int64_t vocab) {
  const bool has_sounds = config.task == "pairs" && sample_kind(config) == "sounds";
  SampleShape shape(has_sounds || (config.task == "classify" && sample_kind(config) != "texts") ? 0 : vocab);
  shape.time = config.data.sequence;
  if (config.task == "pairs") {  // an image has one patch less than the longest text has tokens, or a sound has patches
    shape.classes = vocab, shape.modalities = 2;
    shape.patches = config.data.sequence - 1, shape.features = 6;
    if (has_sounds) shape.second_patches = config.data.sequence, shape.second_features = 4;
    shape.time = 2 * config.data.sequence;
  }
  if (config.task != "classify") return shape;
  shape.classes = vocab;
  if (shape.vocab > 0) return shape;
  shape.patches = config.data.sequence;
  shape.time += config.model.pooling == "class_token" ? 1 : 0;
  shape.features = 6;
  return shape;
}

std::vector<std::string> missing_tasks(const std::vector<TrainConfig>& configs) {
  std::vector<std::string> missing;
  const auto require = [&](const std::string& name, auto has) {
    if (std::none_of(configs.begin(), configs.end(), has)) missing.push_back(name);
  };
  for (const TaskKind& task : tasks()) require(task.name, [&](const TrainConfig& c) { return c.task == task.name; });
  for (const SampleKind& kind : sample_kinds()) {
    require(kind.name, [&](const TrainConfig& c) { return c.task == "classify" && sample_kind(c) == kind.name; });
  }
  require("pairs of images and sounds",
          [&](const TrainConfig& c) { return c.task == "pairs" && sample_kind(c) == "sounds"; });
  return missing;
}

RandomBatch::RandomBatch(const TrainConfig& config, int64_t vocab, uint64_t seed, uint64_t step)
    : sequences(config.train.batch) {
  const SampleShape shape = tiny_shape(config, vocab);
  time = shape.time, patch_features = shape.feature_rows().width;
  const RandomKey key{seed, RandomPurpose::test, 0, step};
  const auto draw = [&](int64_t i) {
    return static_cast<int32_t>(key.bits(static_cast<uint64_t>(i)) % static_cast<uint64_t>(vocab));
  };
  if (shape.modalities > 1) {
    draw_pairs(shape, key, {seed, RandomPurpose::test, 1, step});
    return;
  }
  if (shape.vocab > 0 && shape.classes > 0) {  // one text with the full length, others shorter
    const RandomKey ends{seed, RandomPurpose::test, 2, step};
    for (int64_t i = 0; i < sequences; ++i) {
      const int64_t shorter = i == 0 ? 0 : ends.bits(static_cast<uint64_t>(i)) % static_cast<uint64_t>(time);
      lengths.push_back(static_cast<int32_t>(time - shorter));
      labels.push_back(draw(sequences * time + i));
      for (int64_t t = 0; t < time; ++t) {
        const bool counts = t < lengths.back();
        inputs.push_back(counts ? draw(i * time + t) : kPaddingToken);
        targets.push_back(counts ? 0 : kIgnoreTarget);
      }
    }
    return;
  }
  if (shape.vocab > 0) {
    for (int64_t i = 0; i < 2 * sequences * time; ++i) (i % 2 ? inputs : targets).push_back(draw(i));
    for (int64_t i = 0; i < sequences; ++i) domains.push_back(static_cast<int32_t>(i % 3));
    if (config.data.documents != "joined") divide(config.data.documents == "fit", {seed, RandomPurpose::test, 3, step});
    return;
  }
  targets.assign(static_cast<size_t>(sequences * time), 0);
  for (int64_t i = 0; i < sequences; ++i) labels.push_back(draw(i));
  const RandomKey pixels{seed, RandomPurpose::test, 1, step};
  for (int64_t i = 0; i < sequences * shape.patches * shape.features; ++i) {
    features.push_back(pixels.normal(static_cast<uint64_t>(i)));
  }
}

// Pairs of images and texts or sounds in three classes.
void RandomBatch::draw_pairs(const SampleShape& shape, const RandomKey& key, const RandomKey& pixels) {
  modalities = 2;
  const int64_t half = time / 2;
  for (int64_t i = 0; i < sequences; ++i) {
    const auto drawn = [&](int64_t t, int64_t bound) {
      return static_cast<int32_t>(key.bits(static_cast<uint64_t>(i * (time + 2) + t)) % static_cast<uint64_t>(bound));
    };
    labels.push_back(drawn(time, 3));
    lengths.push_back(static_cast<int32_t>(shape.patches));
    lengths.push_back(i == 0 || shape.second_patches > 0 ? static_cast<int32_t>(half) : 1 + drawn(time + 1, half));
    for (int64_t t = 0; t < time; ++t) {
      const bool counts = t % half < lengths[lengths.size() - (t < half ? 2 : 1)];
      const bool has_id = counts && t >= half;
      if (shape.vocab > 0) inputs.push_back(has_id ? drawn(t, shape.vocab) : kPaddingToken);
      targets.push_back(counts ? 0 : kIgnoreTarget);
    }
  }
  const FeatureRows rows = shape.feature_rows();
  const int64_t each = rows.per_sample() * rows.width;
  for (int64_t i = 0; i < sequences * each; ++i) {
    // What is after a part's patches is not read.
    const bool is_first = i % each < rows.rows * rows.width;
    const int64_t own = is_first ? shape.patches * shape.features : shape.second_patches * shape.second_features;
    const bool counts = i % each % (rows.rows * rows.width) < own;
    features.push_back(counts ? pixels.normal(static_cast<uint64_t>(i)) : NAN);
  }
}

// Divides each sequence into documents; with `fit` what follows the first one is padding.
void RandomBatch::divide(bool fit, const RandomKey& key) {
  for (int64_t row = 0; row < sequences * time; row += time) {
    for (int64_t begin = 0; begin < time;) {
      const auto drawn = static_cast<int64_t>(key.bits(static_cast<uint64_t>(row + begin)) % 1000);
      const int64_t end = std::min(time, begin + 1 + drawn % time);
      targets[static_cast<size_t>(row + end - 1)] = kIgnoreTarget;  // the next document's first token
      if (fit) {
        std::fill(inputs.begin() + row + end, inputs.begin() + row + time, kPaddingToken);
        std::fill(targets.begin() + row + end, targets.begin() + row + time, kIgnoreTarget);
        lengths.push_back(static_cast<int32_t>(end));
        break;
      }
      document_begins.insert(document_begins.end(), static_cast<size_t>(end - begin), static_cast<int32_t>(begin));
      document_ends.insert(document_ends.end(), static_cast<size_t>(end - begin), static_cast<int32_t>(end));
      begin = end;
    }
  }
}

LocalBatch RandomBatch::share(const Communicator& world) const {
  const Share mine = share_of(sequences, world.size(), world.rank());
  const auto part = [&]<class T>(const std::vector<T>& all) {
    const int64_t each = std::ssize(all) / sequences;
    return std::span(all).subspan(static_cast<size_t>(mine.begin * each), static_cast<size_t>(mine.count * each));
  };
  LocalBatch local{mine.count, time, part(inputs), part(targets), mine.begin, sequences};
  local.domains = part(domains);
  local.weights = part(weights);
  local.labels = part(labels);
  local.lengths = part(lengths);
  local.document_begins = part(document_begins);
  local.document_ends = part(document_ends);
  if (!lengths.empty() || !document_begins.empty()) {
    local.global_tokens = std::ssize(targets) - std::count(targets.begin(), targets.end(), kIgnoreTarget);
  }
  local.features = part(features);
  local.patch_features = patch_features;
  local.modalities = modalities;
  return local;
}

RandomBatch RandomBatch::padded(int64_t more) const {
  RandomBatch longer = *this;
  longer.time = time + more;
  longer.inputs.clear();
  longer.targets.clear();
  for (int64_t t = 0; t < sequences * longer.time; ++t) {
    const auto from = static_cast<size_t>(t / longer.time * time + t % longer.time);
    const bool is_old = t % longer.time < time;
    longer.inputs.push_back(is_old ? inputs[from] : kPaddingToken);
    longer.targets.push_back(is_old ? targets[from] : kIgnoreTarget);
  }
  return longer;
}

static StateSetup setup(const TrainConfig& config, int64_t vocab, const ProcessGroups& groups, Precision precision,
                        Device device) {
  const auto updates = static_cast<int64_t>(config.train.steps.amount);
  const SampleShape shape = tiny_shape(config, vocab);
  return {.config = config,
          .sample = shape,
          .groups = groups,
          .run = {updates, static_cast<double>(config.train.batch * shape.time), 1},
          .precision = precision,
          .device = device};
}

TinyRun::TinyRun(const TrainConfig& c, int64_t vocab, ProcessGroups g, Precision precision, Device device)
    : config(c),
      groups(std::move(g)),
      state(setup(config, vocab, groups, precision, device),
            plan_memory(setup(config, vocab, groups, precision, device)), true),
      step(state, config, groups) {}

TinyRun::TinyRun(const TrainConfig& c, int64_t vocab, ProcessGroups g, DType storage, Device device)
    : TinyRun(c, vocab, std::move(g), Precision{.storage = storage}, device) {}

void TinyRun::clear_gradients() {
  for (const ParameterGroup group : kTrainedGroups) {
    fill_zero(state.ctx, state.parameters.buffer(group).gradient);
  }
}

static std::map<std::string, std::vector<double>> named(TinyRun& run, bool gradients) {
  std::map<std::string, std::vector<double>> result;
  for (const ParameterGroup group : kParameterGroups) {
    if (gradients && group == ParameterGroup::untrained) continue;
    const ParameterBuffer& buffer = run.state.parameters.buffer(group);
    run.state.parameters.for_each_named(group, gradients ? buffer.gradient : buffer.value, [&](const NamedTensor& t) {
      std::vector<double>& copy = result[t.name];
      std::vector<char> bytes;
      const ConstTensor host = on_host(run.state.ctx, t.tensor, bytes);
      for (int64_t i = 0; i < host.size(); ++i) {
        copy.push_back(host.dtype == DType::f64    ? host.as<double>()[i]
                       : host.dtype == DType::bf16 ? static_cast<double>(to_float(host.as<BFloat16>()[i]))
                                                   : static_cast<double>(host.as<float>()[i]));
      }
    });
  }
  return result;
}

std::map<std::string, std::vector<double>> named_values(TinyRun& run) {
  return named(run, false);
}
std::map<std::string, std::vector<double>> named_gradients(TinyRun& run) {
  return named(run, true);
}

std::map<std::string, std::vector<double>> named_states(TinyRun& run) {
  std::map<std::string, std::vector<double>> result;
  const Optimizer& optimizer = *run.state.optimizer;
  for (const ParameterGroup group : kTrainedGroups) {
    for (size_t kind = 0; kind < optimizer.state_kinds().size(); ++kind) {
      optimizer.visit_state(group, kind, [&](const NamedTensor& t) {
        std::vector<float> list;
        append_floats(run.state.ctx, list, t.tensor);
        result[optimizer.state_kinds()[kind].name + "." + t.name] = {list.begin(), list.end()};
      });
    }
  }
  return result;
}

std::map<std::string, std::vector<double>> everything_named(TinyRun& run) {
  std::map<std::string, std::vector<double>> result = named_states(run);
  result.merge(named_values(run));
  return result;
}

double distance(const std::vector<double>& actual, const std::vector<double>& expected) {
  double squares = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    squares += std::pow(actual[i] - expected[i], 2);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(squares / std::max(norm, 1e-12));
}

}  // namespace moe
