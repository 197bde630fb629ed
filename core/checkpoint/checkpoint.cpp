#include "core/checkpoint/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "comm/rank_texts.h"
#include "core/base/failure.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/state_file.h"
#include "core/checkpoint/tensor_file.h"
#include "core/tensor/device.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr int kFormat = 1;
static constexpr const char* kComplete = "COMPLETE";
static constexpr const char* kUnfinished = ".tmp";  // ending of the folder of a checkpoint that is being written
static constexpr const char* kPlacement = "placement";
static constexpr const char* kBestFigure = "best_accuracy";  // so called when no other figure was judged by

static std::string folder_name(int64_t step) {
  return fmt::format("step_{:08}", step);
}

std::string CheckpointFolder::path(int64_t step) const {
  return folder_ + "/" + folder_name(step);
}

namespace {

// An entry of the folder that belongs to a checkpoint.
struct Entry {
  int64_t step = 0;
  std::string path;
  bool is_complete = false;
};

}  // namespace

// The step in "step_00000500" and, as the folder of an unfinished checkpoint, in "step_00000500.tmp".
static std::optional<Entry> entry_of(const fs::path& path) {
  const std::string name = path.filename().string();
  Entry entry{0, path.string()};
  if (name.rfind("step_", 0) != 0) return std::nullopt;
  const auto [end, status] = std::from_chars(name.data() + 5, name.data() + name.size(), entry.step);
  const std::string_view rest(end, static_cast<size_t>(name.data() + name.size() - end));
  if (status != std::errc() || (!rest.empty() && rest != kUnfinished)) return std::nullopt;
  entry.is_complete = rest.empty() && file_exists(entry.path + "/" + kComplete);
  return entry;
}

static std::vector<Entry> entries_of(const std::string& folder) {
  std::vector<Entry> result;
  std::error_code error;
  fs::directory_iterator list(folder, error);
  if (error == std::errc::no_such_file_or_directory) return result;
  // A failed listing is no empty folder: the run would start from step 0 and remove the checkpoints that it did not
  // find.
  for (; !error && list != fs::directory_iterator(); list.increment(error)) {
    if (const std::optional<Entry> entry = entry_of(list->path())) result.push_back(*entry);
  }
  if (error) raise<CheckpointError>("cannot list the checkpoints in {}: {}", folder, error.message());
  std::sort(result.begin(), result.end(), [](const Entry& a, const Entry& b) { return a.step < b.step; });
  return result;
}

std::vector<int64_t> CheckpointFolder::steps() const {
  std::vector<int64_t> result;
  for (const Entry& entry : entries_of(folder_)) {
    if (entry.is_complete) result.push_back(entry.step);
  }
  return result;
}

std::vector<std::string> CheckpointFolder::remains() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_of(folder_)) {
    if (!entry.is_complete) result.push_back(entry.path);
  }
  return result;
}

std::optional<int64_t> CheckpointFolder::last() const {
  const auto all = steps();
  return all.empty() ? std::nullopt : std::optional(all.back());
}

std::optional<int64_t> CheckpointFolder::step_in_best() const {
  if (!file_exists(folder_ + "/BEST")) return std::nullopt;
  const std::string text = read_text(folder_ + "/BEST");
  const std::string_view word = trim(text);
  int64_t step = 0;
  const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), step);
  const bool good = status == std::errc() && end == word.data() + word.size();
  return good ? std::optional(step) : std::nullopt;
}

std::optional<int64_t> CheckpointFolder::best() const {
  const std::optional<int64_t> step = step_in_best();
  return step && file_exists(path(*step) + "/" + kComplete) ? step : std::nullopt;
}

bool CheckpointFolder::best_is_damaged() const {
  return file_exists(folder_ + "/BEST") && !step_in_best();
}

static Json sources_json(const RunState& state) {
  Json json = Json::array();
  for (const auto& [loss, samples] : state.unlogged_sources) {
    json.push_back(loss);
    json.push_back(samples);
  }
  return json;
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
               {"unlogged_sources", sources_json(state)},
               {"step_finished", state.step_finished},
               {"draw_shift", state.draw_shift},
               {"alarm", state.alarm},
               {"capacity", state.capacity},
               {"experts", state.experts},
               {"lifecycle_records", state.lifecycle_records},
               {"unmeasured_change", state.unmeasured_change},
               {"identity", state.identity}};
  if (!state.placement.is_null()) json[kPlacement] = state.placement;
  if (state.best_loss) json["best_loss"] = *state.best_loss;
  if (state.best_figure) json[kBestFigure] = *state.best_figure;
  return json;
}

void CheckpointFolder::replace_state(const RunState& state) const {
  const std::string file = path(state.step) + "/" + kStateFile;
  Json json = parse_json(read_text(file));
  json.update(to_json(state));
  replace_text(file, with_own_hash(std::move(json)));
}

void CheckpointFolder::mark_best(int64_t step) const {
  replace_text(folder_ + "/BEST", fmt::format("{}\n", step));
}

static void write_files(const std::string& folder, const std::vector<CheckpointFile>& files) {
  for (const CheckpointFile& file : files) write_synced(folder + "/" + file.name, file.write);
}

// The last file that is written, because it lists all others.
static void write_state(const std::string& folder, const RunState& state,
                        const std::vector<std::string>& optimizer_states) {
  Json json = to_json(state);
  json["optimizer_states"] = optimizer_states;
  add_file_hashes(json, folder);
  write_text_synced(folder + "/" + kStateFile, with_own_hash(std::move(json)));
}

// Calls write() on every rank. If it fails on some ranks, calls clean_up() on the first and throws on all of them: each
// rank its own reason, or that of the first rank that has one.
template <class Write, class CleanUp>
static void write_together(Communicator& ranks, Write write, CleanUp clean_up) {
  std::exception_ptr error;
  std::string reason;
  try {
    write();
  } catch (...) {
    error = std::current_exception();
    reason = current_failure().message;
  }
  const RankText problem = first_text(ranks, reason);
  if (problem.text.empty()) return;
  if (ranks.rank() == 0) clean_up();
  if (error) std::rethrow_exception(error);
  raise<CheckpointError>("{} (reported by rank {} of {})", problem.text, problem.rank, ranks.size());
}

// Rank 0: makes the folder of an unfinished checkpoint.
static void make_unfinished(const std::string& folder, const std::string& path) {
  std::error_code error;
  if (!file_exists(folder)) {
    raise<CheckpointError>("the folder {} is gone: it was removed or renamed while the run was using it", folder);
  }
  fs::remove_all(path, error);
  if (!fs::create_directory(path, error)) {
    raise<CheckpointError>("cannot create the folder {}: {}", path, error ? error.message() : "it exists");
  }
}

// Rank 0: gives the folder of a checkpoint its name and marks it as complete.
static void finish(const std::string& folder, const std::string& temporary, const std::string& target) {
  std::error_code error;
  fs::remove_all(target, error);  // left by an interrupted save, or by an earlier save of this step
  sync_folder(temporary);
  fs::rename(temporary, target, error);
  if (error) raise<CheckpointError>("cannot rename {} to {}: {}", temporary, target, error.message());
  sync_folder(folder);
  write_text_synced(target + "/" + kComplete, "");
  sync_folder(target);
}

void CheckpointFolder::save(const RunState& state, const ParameterStore& parameters, const Optimizer& optimizer,
                            const ProcessGroups& groups, const std::vector<CheckpointFile>& files,
                            const RankTensors& of_rank, const std::function<void()>& require_folder) const {
  const std::string target = path(state.step), temporary = target + kUnfinished;
  Communicator& world = *groups.world;
  const bool first = world.rank() == 0;
  const auto clean_up = [&] {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
  };
  // A folder that took the place of the run's before this gets an empty folder, which is removed again; one that takes
  // its place later lacks the folder that all files of the checkpoint go to.
  write_together(
      world,
      [&] {
        if (!first) return;
        make_unfinished(folder_, temporary);
        if (require_folder) require_folder();
      },
      clean_up);
  write_together(
      world,
      [&] {
        write_tensors(temporary, parameters, optimizer, groups);  // first, because ranks may take part together
        if (!of_rank.tensors.empty())
          write_tensor_file(checkpoint_tensor_file(temporary, of_rank.name, world.rank(), world.size()),
                            of_rank.tensors);
        if (first) write_files(temporary, files);
      },
      clean_up);
  write_together(
      world,
      [&] {
        if (!first) return;
        write_state(temporary, state, state_names(optimizer));
        finish(folder_, temporary, target);
      },
      clean_up);
}

void CheckpointFolder::save_model(const RunState& state,
                                  const std::function<void(const std::string& path)>& write_model,
                                  const std::vector<CheckpointFile>& files) const {
  const std::string target = path(state.step), temporary = target + kUnfinished;
  make_unfinished(folder_, temporary);
  try {
    write_model(checkpoint_tensor_file(temporary, "model", 0, 1));
    write_files(temporary, files);
    write_state(temporary, state, {});
    finish(folder_, temporary, target);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
}

// COMPLETE goes first, so that an interrupted removal leaves no complete checkpoint.
static void remove_checkpoint(const std::string& path) {
  std::error_code error;
  fs::remove(path + "/" + kComplete, error);
  fs::remove_all(path, error);
  if (error) log::warn("cannot remove {}: {}", path, error.message());
}

void CheckpointFolder::prune(int64_t keep_last, bool keep_best) const {
  std::vector<int64_t> all = steps();
  const std::optional<int64_t> keep = keep_best ? best() : std::nullopt;
  for (int64_t i = 0; i + keep_last < static_cast<int64_t>(all.size()); ++i) {
    const int64_t step = all[as_index(i)];
    if (!keep || step != *keep) remove_checkpoint(path(step));
  }
}

void CheckpointFolder::remove_remains() const {
  for (const std::string& path : remains()) remove_checkpoint(path);
}

std::string CheckpointFolder::set_aside(int64_t step) const {
  const std::string aside = path(step) + ".damaged";
  std::error_code error;
  fs::remove_all(aside, error);
  fs::rename(path(step), aside, error);
  if (error) raise<CheckpointError>("cannot rename {} to {}: {}", path(step), aside, error.message());
  sync_folder(folder_);
  return aside;
}

// The state without the run's own part, which is checked: format, hashes and files.
static Json read_state(const std::string& path) {
  const Json json = read_checked_state(path);
  if (json.at("format") != kFormat) {
    raise<CheckpointError>("{} has format {}, this program reads {}", path, json_text(json.at("format")), kFormat);
  }
  return json;
}

RunState load_run_state(const std::string& path) {
  try {
    const Json json = read_state(path);
    check_files(json, path);
    RunState state;
    state.step = json.at("step");
    state.tokens = json.at("tokens");
    state.length = {json.value("total_updates", state.step), json.value("tokens_per_update", 0.0),
                    json.value("updates_per_epoch", 0.0)};
    state.best_step = json.at("best_step");
    state.evaluations_since_best = json.at("evaluations_since_best");
    state.unlogged_loss = json.at("unlogged_loss");
    state.unlogged_steps = json.at("unlogged_steps");
    const Json sources = json.value("unlogged_sources", Json::array());
    for (size_t i = 0; i + 1 < sources.size(); i += 2) {
      state.unlogged_sources.emplace_back(sources[i].get<double>(), sources[i + 1].get<double>());
    }
    state.step_finished = json.value("step_finished", true);
    state.draw_shift = json.value("draw_shift", int64_t{0});
    state.alarm = json.value("alarm", Json());
    state.capacity = json.value("capacity", Json());
    state.experts = json.value("experts", Json());
    state.placement = json.value(kPlacement, Json());
    state.lifecycle_records = json.value("lifecycle_records", int64_t{0});
    state.unmeasured_change = json.value("unmeasured_change", Json());
    state.identity = json.at("identity");
    state.optimizer_states = json.value("optimizer_states", state.optimizer_states);
    if (json.contains("best_loss")) state.best_loss = json.at("best_loss").get<double>();
    if (json.contains(kBestFigure)) state.best_figure = json.at(kBestFigure).get<double>();
    return state;
  } catch (const JsonError& error) {
    raise<DamagedCheckpoint>("{}/{} is damaged: {}", path, kStateFile, error.what());
  }
}

std::string find_checkpoint(const std::string& run_or_checkpoint, const std::string& which) {
  const std::string given =
      (fs::path(run_or_checkpoint) / "").lexically_normal().parent_path().string();  // without a trailing slash
  const bool is_complete = file_exists(given + "/" + kComplete);
  if (is_complete || file_exists(given + "/" + kStateFile)) {
    if (!is_complete) raise<CheckpointError>("{} is incomplete: it has no file {}", given, kComplete);
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
          "{} has no checkpoint of the best evaluation: checkpoint.keep_best is off, there was no evaluation, the "
          "checkpoint or the file checkpoints/BEST was removed or damaged, or a version before 0.2 found the best one "
          "before the first update; the last checkpoint is of step {}",
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
