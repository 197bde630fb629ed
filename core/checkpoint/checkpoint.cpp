#include "core/checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/tensor_file.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr int kFormat = 1;
static constexpr const char* kBestFigure = "best_accuracy";  // so called when no other figure was judged by

static std::string folder_name(int64_t step) {
  return fmt::format("step_{:08}", step);
}

std::string CheckpointFolder::path(int64_t step) const {
  return folder_ + "/" + folder_name(step);
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> result;
  std::error_code error;
  fs::directory_iterator list(folder_, error);
  if (error == std::errc::no_such_file_or_directory) return result;
  // A failed listing is no empty folder: the run would start from step 0 and remove the checkpoints that it did not
  // find.
  for (; !error && list != fs::directory_iterator(); list.increment(error)) {
    const fs::directory_entry& entry = *list;
    const std::string name = entry.path().filename().string();
    int64_t step = 0;
    if (name.rfind("step_", 0) != 0) continue;
    const auto [end, status] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
    if (status == std::errc() && end == name.data() + name.size() && fs::exists(entry.path() / "COMPLETE")) {
      result.push_back(step);
    }
  }
  if (error) raise<CheckpointError>("cannot list the checkpoints in {}: {}", folder_, error.message());
  std::sort(result.begin(), result.end());
  return result;
}

std::optional<int64_t> CheckpointFolder::last() const {
  const auto all = steps();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

std::optional<int64_t> CheckpointFolder::best() const {
  if (!fs::exists(folder_ + "/BEST")) return std::nullopt;
  const int64_t step = std::atoll(read_text(folder_ + "/BEST").c_str());
  const auto all = steps();
  return std::find(all.begin(), all.end(), step) == all.end() ? std::nullopt : std::optional(step);
}

static Json to_json(const RunState& state) {
  Json json = {{"format", kFormat},
               {"step", state.step},
               {"tokens", state.tokens},
               {"total_updates", state.length.total_updates},
               {"tokens_per_update", state.length.tokens_per_update},
               {"updates_per_epoch", state.length.updates_per_epoch},
               {"best_step", state.best_step},
               {"evaluations_since_best", state.evaluations_since_best},
               {"unlogged_loss", state.unlogged_loss},
               {"unlogged_steps", state.unlogged_steps},
               {"step_finished", state.step_finished},
               {"alarm", state.alarm},
               {"capacity", state.capacity},
               {"experts", state.experts},
               {"identity", state.identity}};
  if (state.best_loss) json["best_loss"] = *state.best_loss;
  if (state.best_figure) json[kBestFigure] = *state.best_figure;
  return json;
}

void CheckpointFolder::replace_state(const RunState& state) const {
  const std::string file = path(state.step) + "/state.json";
  Json json = parse_json(read_text(file));
  json.update(to_json(state));
  replace_text(file, json_text(json, 2) + "\n");
}

void CheckpointFolder::mark_best(int64_t step) const {
  replace_text(folder_ + "/BEST", fmt::format("{}\n", step));
}

static std::vector<std::string> names_of(const std::vector<OptimizerStateKind>& kinds) {
  std::vector<std::string> names;
  for (const OptimizerStateKind& kind : kinds) names.push_back(kind.name);
  return names;
}

// The name of a file of tensors, of which `count` ranks write one each.
static std::string tensor_file(const std::string& folder, const std::string& name, int index, int count) {
  const std::string suffix = count == 1 ? "" : fmt::format("-{:05}-of-{:05}", index + 1, count);
  return folder + "/" + name + suffix + ".safetensors";
}

// The model's and the optimizer's tensors that this rank holds: its experts, and on the first rank all others.
static void write_tensors(const std::string& folder, const ParameterStore& parameters, const Optimizer& optimizer,
                          const ProcessGroups& groups) {
  const int parts = groups.expert->size(), part = groups.expert->rank();
  std::vector<NamedTensor> model, optimizer_states;
  for (const ParameterGroup group : kParameterGroups) {
    if (group != ParameterGroup::expert && part != 0) continue;
    const auto& buffer = const_cast<ParameterStore&>(parameters).buffer(group);
    const Tensor exact = group == ParameterGroup::untrained ? Tensor{} : optimizer.master(group);
    parameters.for_each_named(group, exact ? exact : buffer.value, [&](const NamedTensor& t) { model.push_back(t); });
    if (group == ParameterGroup::untrained) continue;
    optimizer.for_each_state(group, [&](const OptimizerStateKind& kind, const Tensor& whole) {
      parameters.for_each_named(group, whole, [&](const NamedTensor& t) {
        optimizer_states.push_back({kind.name + "." + t.name, t.tensor});
      });
    });
  }
  write_tensor_file(tensor_file(folder, "model", part, parts), model);
  if (!optimizer.state_kinds().empty())
    write_tensor_file(tensor_file(folder, "optimizer", part, parts), optimizer_states);
}

static void write_state(const std::string& folder, const RunState& state, const Optimizer& optimizer,
                        const std::vector<CheckpointFile>& files) {
  Json json = to_json(state);
  json["optimizer_states"] = names_of(optimizer.state_kinds());
  for (const CheckpointFile& file : files) {
    write_synced(folder + "/" + file.name, file.write);
    json["file_bytes"][file.name] = fs::file_size(folder + "/" + file.name);
  }
  write_text_synced(folder + "/state.json", json_text(json, 2) + "\n");
}

void CheckpointFolder::save(const RunState& state, const ParameterStore& parameters, const Optimizer& optimizer,
                            const ProcessGroups& groups, const std::vector<CheckpointFile>& files,
                            const RankTensors& of_rank) const {
  const std::string target = path(state.step), temporary = target + ".tmp";
  const bool first = groups.world->rank() == 0;
  if (first) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    make_folder(temporary);
  }
  groups.world->barrier();

  try {
    if (!of_rank.tensors.empty()) {
      write_tensor_file(tensor_file(temporary, of_rank.name, groups.world->rank(), groups.world->size()),
                        of_rank.tensors);
    }
    if (groups.data->rank() == 0) write_tensors(temporary, parameters, optimizer, groups);
    if (first) write_state(temporary, state, optimizer, files);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  groups.world->barrier();

  if (first) {
    std::error_code error;
    fs::remove_all(target, error);  // left by an interrupted save, or by an earlier save of this step
    sync_folder(temporary);
    fs::rename(temporary, target, error);
    if (error) raise<CheckpointError>("cannot rename {} to {}: {}", temporary, target, error.message());
    sync_folder(folder_);
    write_text_synced(target + "/COMPLETE", "");
    sync_folder(target);
  }
  groups.world->barrier();
}

void CheckpointFolder::prune(int64_t keep_last, bool keep_best) const {
  std::vector<int64_t> all = steps();
  const std::optional<int64_t> keep = keep_best ? best() : std::nullopt;
  for (int64_t i = 0; i + keep_last < static_cast<int64_t>(all.size()); ++i) {
    const int64_t step = all[as_index(i)];
    if (keep && step == *keep) continue;
    std::error_code error;
    fs::remove(path(step) + "/COMPLETE", error);  // first, so that an interrupted removal leaves no complete checkpoint
    fs::remove_all(path(step), error);
    if (error) log::warn("cannot remove the old checkpoint {}: {}", path(step), error.message());
  }
}

RunState load_run_state(const std::string& path) {
  try {
    const auto json = parse_json(read_text(path + "/state.json"));
    if (json.at("format") != kFormat) {
      raise<CheckpointError>("{} has format {}, this program reads {}", path, json_text(json.at("format")), kFormat);
    }
    const Json files = json.value("file_bytes", Json::object());
    for (const auto& [name, bytes] : files.items()) {
      std::error_code error;
      const auto found = fs::file_size(path + "/" + name, error);
      if (error || found != bytes)
        raise<CheckpointError>("{}/{} is damaged: expected {} bytes; resume from another checkpoint", path, name,
                               json_text(bytes));
    }
    RunState state;
    state.step = json.at("step");
    state.tokens = json.at("tokens");
    state.length = {json.value("total_updates", state.step), json.value("tokens_per_update", 0.0),
                    json.value("updates_per_epoch", 0.0)};
    state.best_step = json.at("best_step");
    state.evaluations_since_best = json.at("evaluations_since_best");
    state.unlogged_loss = json.at("unlogged_loss");
    state.unlogged_steps = json.at("unlogged_steps");
    state.step_finished = json.value("step_finished", true);
    state.alarm = json.value("alarm", Json());
    state.capacity = json.value("capacity", Json());
    state.experts = json.value("experts", Json());
    state.identity = json.at("identity");
    state.optimizer_states = json.value("optimizer_states", state.optimizer_states);
    if (json.contains("best_loss")) state.best_loss = json.at("best_loss").get<double>();
    if (json.contains(kBestFigure)) state.best_figure = json.at(kBestFigure).get<double>();
    return state;
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}/state.json is damaged: {}", path, error.what());
  }
}

// An optimizer's kind and options determine its states.
static void check_optimizer(const std::string& path, const Optimizer& optimizer) {
  const std::vector<std::string> stored = load_run_state(path).optimizer_states;
  const std::vector<std::string> wanted = names_of(optimizer.state_kinds());
  if (stored == wanted) return;
  const auto in_words = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("nothing") : join(names, " and ");
  };
  raise<CheckpointError>(
      "{} was written with another optimizer: it kept {} of each parameter, the configured one keeps {}. Set optimizer "
      "as that run had it, or start a new run from its weights (init.from)",
      path, in_words(stored), in_words(wanted));
}

// A weight that is no number makes every figure one; the figures' reader would look for the reason in the wrong place.
static void require_finite(const std::string& path, const std::string& name, const ConstTensor& tensor) {
  if (tensor.dtype != DType::f32) return;
  const std::span<const float> values(tensor.as<float>(), static_cast<size_t>(tensor.size()));
  const auto wrong = std::find_if(values.begin(), values.end(), [](float x) { return !std::isfinite(x); });
  if (wrong == values.end()) return;
  raise<DivergedError>("{}: {} holds {} at element {} of {}", path, name, *wrong, wrong - values.begin(),
                       values.size());
}

void load_tensors(const std::string& path, ParameterStore& parameters, const Optimizer* optimizer) {
  if (optimizer) check_optimizer(path, *optimizer);
  const TensorFolder model(path, "model");
  for (const ParameterGroup group : kParameterGroups) {
    parameters.for_each_named(group, parameters.buffer(group).value, [&](const NamedTensor& t) {
      model.read(t.name, t.tensor);
      if (group != ParameterGroup::untrained) require_finite(path, t.name, model.at(t.name));
    });
  }
  if (!optimizer) return;
  for (const ParameterGroup group : kTrainedGroups) {
    if (const Tensor exact = optimizer->master(group)) {
      parameters.for_each_named(group, exact, [&](const NamedTensor& t) { model.read(t.name, t.tensor); });
    }
  }
  if (optimizer->state_kinds().empty()) return;
  const TensorFolder states(path, "optimizer");
  for (const ParameterGroup group : kTrainedGroups) {
    optimizer->for_each_state(group, [&](const OptimizerStateKind& kind, const Tensor& state) {
      parameters.for_each_named(group, state,
                                [&](const NamedTensor& t) { states.read(kind.name + "." + t.name, t.tensor); });
    });
  }
}

std::string find_checkpoint(const std::string& run_or_checkpoint, const std::string& which) {
  const std::string given =
      (fs::path(run_or_checkpoint) / "").lexically_normal().parent_path().string();  // without a trailing slash
  if (fs::exists(given + "/state.json")) {
    if (!fs::exists(given + "/COMPLETE")) raise<CheckpointError>("{} is incomplete: it has no file COMPLETE", given);
    return given;
  }
  const CheckpointFolder folder(given + "/checkpoints");
  const std::vector<int64_t> all = folder.steps();
  if (all.empty()) raise<CheckpointError>("{} holds no complete checkpoint", run_or_checkpoint);
  if (which == "last") return folder.path(all.back());
  if (which == "best") {
    const std::optional<int64_t> best = folder.best();
    if (!best) {
      raise<CheckpointError>(
          "{} has no checkpoint of the best evaluation: none was better than that before the first step, "
          "checkpoint.keep_best is off, or it was removed; the last one is of step {}",
          run_or_checkpoint, all.back());
    }
    return folder.path(*best);
  }
  int64_t step = -1;
  const auto [end, status] = std::from_chars(which.data(), which.data() + which.size(), step);
  if (status != std::errc() || end != which.data() + which.size()) {
    raise<UsageError>("'{}' is not a checkpoint; expected last, best or a step", which);
  }
  if (std::find(all.begin(), all.end(), step) == all.end()) {
    std::vector<std::string> known;
    for (const int64_t s : all) known.push_back(fmt::format("{}", s));
    raise<CheckpointError>("{} has no checkpoint of step {}; it has {}", run_or_checkpoint, step, join(known, ", "));
  }
  return folder.path(step);
}

}  // namespace moe
