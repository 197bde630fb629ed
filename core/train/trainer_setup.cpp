// How a trainer gets from the run's folder to its first update.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <span>

#include "comm/agreement.h"
#include "comm/profiled_communicator.h"
#include "comm/rank_texts.h"
#include "core/base/build_info.h"
#include "core/base/host.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/metric_keys.h"
#include "core/base/text.h"
#include "core/checkpoint/damage.h"
#include "core/checkpoint/files.h"
#include "core/checkpoint/verify.h"
#include "core/config/config_writer.h"
#include "core/config/field_walker.h"
#include "core/machine/instruction_set.h"
#include "core/machine/memory.h"
#include "core/step/capacity_state.h"
#include "core/step/memory_state.h"
#include "core/tensor/device.h"
#include "core/train/check_run.h"
#include "core/train/difficulty_source.h"
#include "core/train/free_space.h"
#include "core/train/run_extension.h"
#include "core/train/trainer.h"
#include "data/content_hash.h"

namespace moe {

static constexpr double kSlowDisk = 2e8;  // bytes per second, until a checkpoint was saved

// Sets the keys' names also in a configuration that was built by code, for error messages.
static TrainConfig named(TrainConfig config) {
  name_fields(config);
  return config;
}

// The reason why read() finds a checkpoint damaged on the first rank where it does, or nothing. Collective; a rank that
// meets another error ends all ranks.
template <class Read>
static std::string damage(Communicator& ranks, Read read) {
  std::string reason;
  try {
    read();
  } catch (const DamagedCheckpoint& error) {
    reason = error.what();
  }
  const RankText first = first_text(ranks, reason);
  if (first.text.empty() || ranks.size() == 1) return first.text;
  return fmt::format("{} (found by rank {})", first.text, first.rank);
}

Trainer::Trainer(const TrainConfig& config, std::shared_ptr<Communicator> world, const CpuSetup& cpu,
                 const DeviceChoice& device, ResumeOptions resume)
    : config_(named(config)),
      state_config_(config_),
      resume_(std::move(resume)),
      traffic_(config.log.communication.amount > 0 ? std::make_shared<TrafficRecorder>() : nullptr),
      groups_(ProcessGroups::make(
          profiled(communicator_for(device, config.parallel.communication, std::move(world)), traffic_),
          config.parallel.expert, smallest_experts(config.model, config.moe))),
      cpu_(cpu),
      device_(device),
      folder_(config_),
      task_(open_task(config)),
      length_(run_length(config, *task_)),
      end_(length_.total_updates),
      lifecycle_(config.model, config.moe, length_),
      placement_(config.parallel.placement, length_, config.parallel.replicas),
      best_(run_, *task_),
      bar_(groups_.world->rank() == 0),
      stop_(config_.train.time_limit, groups_.world->rank() == 0),
      tracer_(config_.trace),
      last_save_(std::chrono::steady_clock::now()) {
  require_agreement(*groups_.world, "the same data",
                    {{"data", json_text(task_->identity())}, {"samples", json_text(task_->samples())}});
  if (is_first()) lock_ = std::make_unique<RunLock>(folder_.path());
  const std::vector<int64_t> steps = find_steps();
  folder_.check_mode(resume_.mode, steps);
  const bool resumed = resume_from_newest(steps);
  if (!resumed) {
    run_.step_finished = false;  // the evaluation before the first update is due
    prepare(true);
    build_state(true);
    initialisation_ = initialise_run(*state_, *train_step_, state_config_, groups_, *task_);
  }
  groups_.world->barrier();  // no rank writes to the folder before all ranks have checked it
  if (is_first() && has_work()) open_files(resumed);
}

// Rank 0 alone decides where a run goes on: a shared file system may show the ranks different folders.
std::vector<int64_t> Trainer::find_steps() const {
  std::vector<std::string> words;
  if (is_first()) {
    for (const int64_t step : folder_.checkpoints().steps()) words.push_back(fmt::format("{}", step));
  }
  std::vector<int64_t> steps;
  const std::string text = broadcast_text(*groups_.world, join(words, " "), 0);
  for (const std::string& word : split(text, ' ')) {
    if (!word.empty()) steps.push_back(std::stoll(word));
  }
  return steps;
}

// Resumes from the newest checkpoint that no rank finds damaged. Returns false if there is no checkpoint. Nothing in
// the folder is changed.
bool Trainer::resume_from_newest(const std::vector<int64_t>& steps) {
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    std::string reason = read_state(*step);
    if (reason.empty()) reason = read_tensors(*step);
    if (reason.empty()) {
      saved_ = *step;
      return true;
    }
    damaged_.push_back({*step, reason});
    if (resume_.mode == ResumeMode::must) refuse_damaged(steps);
  }
  if (!damaged_.empty()) refuse_damaged(steps);
  return false;
}

// With --resume must, or when all checkpoints are damaged. Rank 0 looks for the last good one, which the user may
// choose; the others wait for it to end them.
void Trainer::refuse_damaged(const std::vector<int64_t>& steps) {
  std::vector<std::string> lines;
  for (const Damaged& d : damaged_) lines.push_back(fmt::format("step {}: {}", d.step, d.reason));
  std::optional<int64_t> good;
  for (auto step = steps.rbegin(); is_first() && step != steps.rend() && !good; ++step) {
    if (*step >= damaged_.back().step) continue;
    try {
      verify_checkpoint(folder_.checkpoints().path(*step));
      good = *step;
    } catch (const CheckpointError& error) {
      lines.push_back(fmt::format("step {}: {}", *step, error.what()));
    }
  }
  if (!is_first()) groups_.world->barrier();
  if (!good) {
    raise<CheckpointError>(
        "{} holds no checkpoint that is good:\n  {}\nRestore one from a copy, or choose another name to start again",
        folder_.path(), join(lines, "\n  "));
  }
  raise<CheckpointError>(
      "--resume must: the newest checkpoint of {} is damaged:\n  {}\nThe last good one is of step {}. --resume auto "
      "goes on from there: the updates since then are made again",
      folder_.path(), join(lines, "\n  "), *good);
}

// Reads the state of the run at a checkpoint, compares its configuration, and prepares to go on from there. Returns why
// the checkpoint is damaged, or nothing. Collective.
std::string Trainer::read_state(int64_t step) {
  const std::string path = folder_.checkpoints().path(step);
  RunState state;
  const std::string reason = damage(*groups_.world, [&] { state = load_run_state(path); });
  if (!reason.empty()) return reason;
  changes_ = folder_.check_config(config_, step, resume_.changed);
  const RunEnd end = extend_run(config_, run_length(config_, *task_), state, path);
  run_ = std::move(state);
  run_.length = length_ = end.planned;
  end_ = end.updates;
  if (run_.identity != task_->identity()) change_data(run_.identity, path);
  run_.identity = task_->identity();
  change_batch(load_run_config(path).train.batch);
  prepare(false);
  return "";
}

static bool is_named(const std::vector<std::string>& keys, const std::string& key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

// Throws unless the user asked for other data and the model can read it.
void Trainer::change_data(const Json& identity, const std::string& path) {
  if (!is_named(resume_.changed, "data.path")) {
    raise<CheckpointError>(
        "{} was trained on other data: the checkpoint has {}, this run has {}. To go on with them, use "
        "--resume must --change data.path={}",
        path, json_text(identity), json_text(task_->identity()), config_.data.path);
  }
  Json then = identity, now = task_->identity();
  then.erase("data");
  now.erase("data");
  if (then != now) {
    raise<CheckpointError>("{} cannot go on with {}: its samples are {}, those are {}", path, config_.data.path,
                           json_text(then), json_text(now));
  }
  open_task(config_, path);  // throws for another tokenizer or other classes
  // Evaluations on the other data cannot be compared with those to come.
  run_.best_loss.reset();
  run_.best_figure.reset();
  run_.evaluations_since_best = 0;
  changes_.push_back({"data", identity.value("data", "?"), task_->identity().value("data", "?")});
}

// With another batch, the next sample stays the next sample: the place in the data is the number of samples drawn.
void Trainer::change_batch(int64_t before) {
  const int64_t batch = config_.train.batch;
  if (batch == before) return;
  if (config_.curriculum.sampler.kind() != "uniform") {
    raise<UsageError>("{}: curriculum.sampler {} counts in batches, so a run cannot go on with another",
                      config_.train.where("batch"), config_.curriculum.sampler.kind());
  }
  run_.draw_shift = divide_up((run_.step + run_.draw_shift) * before, batch) - run_.step;
}

// Makes what depends on the length of the run. `starts`: it is a new run.
void Trainer::prepare(bool starts) {
  check_run({.config = config_,
             .task = *task_,
             .length = length_,
             .ranks = RankCounts::of(*groups_.world),
             .starts = starts});
  lifecycle_ = ExpertLifecycle(config_.model, config_.moe, length_);
  placement_ = ExpertPlacement(config_.parallel.placement, length_, config_.parallel.replicas);
  scheduled_.emplace(config_, length_);
  learning_rate_.emplace(config_.train.learning_rate.make(length_));
  run_.length = length_;
  run_.identity = task_->identity();
  batches_.reset();
  curriculum_ = std::make_unique<Curriculum>(Curriculum::Setup{.config = config_.curriculum,
                                                               .samples = task_->num_samples(),
                                                               .batch = config_.train.batch,
                                                               .seed = static_cast<uint64_t>(config_.data_seed()),
                                                               .run = length_,
                                                               .data = task_->samples()},
                                             starts ? find_difficulties(config_.curriculum) : "");
  batches_.emplace(config_, *task_, *curriculum_, length_, run_.draw_shift);
}

// Builds the state at a checkpoint and reads it. Returns why the checkpoint is damaged, or nothing. Collective.
std::string Trainer::read_tensors(int64_t step) {
  const std::string path = folder_.checkpoints().path(step);
  lifecycle_.restore(run_.experts, path);
  const int64_t experts =
      lifecycle_.numbers().empty() ? smallest_experts(config_.model, config_.moe) : fewest(lifecycle_.numbers());
  if (expert_parallel_size(RankCounts::of(*groups_.world), config_.parallel.expert, experts) != groups_.expert->size())
    groups_ = ProcessGroups::make(groups_.world, config_.parallel.expert, experts);
  state_config_ = with_experts(config_, lifecycle_.numbers());
  build_state(false);
  placement_.restore(run_.placement, *state_->model, groups_, path);
  std::string why = damage(*groups_.world, [&] {
    load_tensors(path, state_->parameters, state_->optimizer.get());
    restore_capacity_state(*state_->model, run_.capacity, path);
    alarm_->restore(*state_->model, run_.alarm, path);
    if (curriculum_->has_store()) curriculum_->read(path + "/" + Curriculum::kFile);
    if (const auto place = curriculum_->stream(run_.step)) {
      restore_memory(state_->memory, state_setup().rows().begin, place->step * task_->shape().time, path);
    }
  });
  if (why.empty()) {
    for (MoELayer* layer : state_->model->moe_layers()) layer->update_copies(state_->ctx);
  }
  return why;
}

// For rank 0: opens the run's folder and files, and reports what the run is.
void Trainer::open_files(bool resumed) {
  folder_.prepare(config_);
  log::add_file(folder_.path() + "/train.log");
  if (resumed) log::info("Resuming {} at step {}", folder_.path(), run_.step);
  remove_traces_after(folder_.path(), resumed ? run_.step : -1);
  settle_checkpoints();
  const Json& unmeasured = run_.unmeasured_change;
  const ResumedRecords at{
      .step = run_.step,
      .step_finished = run_.step_finished,
      .lifecycle_records = run_.lifecycle_records,
      .alarm_writes_again = !unmeasured.is_null() && unmeasured.value(metric_keys::kCause, "") == metric_keys::kAlarm};
  records_ =
      std::make_unique<RunRecords>(folder_.path(), resumed ? std::optional(at) : std::nullopt, config_.log.tensorboard);
  describe();
}

// For rank 0: what earlier processes left of damaged, unfinished and half-removed checkpoints.
void Trainer::settle_checkpoints() {
  const CheckpointFolder& checkpoints = folder_.checkpoints();
  for (const Damaged& d : damaged_) {
    const std::string aside = checkpoints.set_aside(d.step);
    log::warn(
        "The checkpoint of step {} is damaged: {}. The run goes on from step {}, and the updates since then are made "
        "again. The damaged one is kept as {}; remove it when you do not need it",
        d.step, d.reason, run_.step, aside);
  }
  checkpoints.remove_remains();
  if (checkpoints.best_is_damaged()) log::warn("{}/checkpoints/BEST is damaged: it names no step", folder_.path());
  // The process may have been killed between saving the best checkpoint and marking it.
  const std::vector<int64_t> steps = checkpoints.steps();
  const bool is_kept = std::find(steps.begin(), steps.end(), run_.best_step) != steps.end();
  if (config_.checkpoint.keep_best && run_.best_loss && is_kept && checkpoints.best() != run_.best_step)
    checkpoints.mark_best(run_.best_step);
  // The same for the time between saving the last checkpoint and removing older ones.
  remove_old_checkpoints();
}

StateSetup Trainer::state_setup() const {
  return {.config = state_config_,
          .sample = task_->shape(),
          .groups = groups_,
          .run = length_,
          .precision = device_.precision,
          .device = device_.device,
          .device_index = device_.index,
          .queue = device_.queue};
}

// Builds the state for the experts in state_config_ and the process groups in groups_.
void Trainer::build_state(bool initialise) {
  train_step_.reset();
  state_.reset();  // frees its memory before the next state is allocated
  plan_ = plan_memory(state_setup());
  state_ = std::make_unique<TrainingState>(state_setup(), plan_, initialise);
  state_->ctx.traffic = traffic_.get();
  train_step_.emplace(*state_, config_, groups_, length_);
  if (!alarm_) alarm_ = std::make_unique<CollapseAlarm>(config_.moe.alarm, state_->model->moe_layers().size());
}

// For rank 0: logs a summary of the run and writes the manifest.
void Trainer::describe() {
  const ModelSummary summary = summarise(state_config_, task_->shape(), length_);
  const int64_t store = curriculum_->has_store() ? curriculum_->store().bytes() : 0;
  checkpoint_bytes_ = checkpoint_bytes(summary, plan_, device_.precision.storage, store);
  stop_.expect_checkpoint(checkpoint_bytes_ / kSlowDisk);
  log_summary(summary);
  for (const auto& record : initialisation_.to_json()) records_->write("init", run_.step, record);
  // Reopening a finished run must not overwrite its manifest.
  const bool finished = run_.step > 0 && run_.step >= end_;
  const Json before = folder_.manifest();
  if (!finished) say_what_changed(before);
  if (!finished || before.is_null()) write_manifest(summary);
}

// A run that goes on may compute in another way than it did; then results agree to rounding only.
void Trainer::say_what_changed(const Json& manifest) const {
  if (run_.step == 0 || manifest.is_null()) return;
  std::vector<std::pair<const char*, std::string>> facts{{"precision", name_of(device_.precision)}};
  if (device_.device == Device::cpu) facts.emplace_back("instruction_set", name_of(instruction_set()));
  for (const auto& [key, now] : facts) {
    const Json* then = manifest.find(key);
    if (!then || !then->is_string() || *then == now) continue;
    log::warn("this run goes on with another {}: {}, before {}", key, now, then->get<std::string>());
  }
}

// What the user may not expect of parallel.overlap, or nothing.
static std::string overlap_notice(int64_t overlap, const ProcessGroups& groups, std::span<MoELayer* const> layers) {
  if (overlap == 1 || layers.empty()) return "";
  if (groups.expert->size() == 1) {
    return "no rows travel between ranks (parallel.overlap), because each rank holds all experts";
  }
  int64_t fewest = overlap;
  for (const MoELayer* layer : layers) fewest = std::min(fewest, layer->parts());
  if (fewest == overlap) return "";
  return fmt::format(
      "rows travel in {} part{} where parallel.overlap asks for {}, because a rank has no more experts "
      "of a layer",
      fewest, fewest == 1 ? "" : "s", overlap);
}

// How rows travel between hosts, if they do in two stages.
static std::string two_stages_notice(const std::string& all_to_all, const ProcessGroups& groups,
                                     std::span<MoELayer* const> layers) {
  const auto count = [&](auto is) { return std::count_if(layers.begin(), layers.end(), is); };
  const auto hierarchical = count([](const MoELayer* layer) { return layer->is_hierarchical(); });
  if (hierarchical == 0) return "";
  return fmt::format(
      "rows travel between {} hosts in two stages (parallel.all_to_all: {}) in {} of {} MoE layers, and "
      "single outputs return in {}",
      groups.layout.hosts, all_to_all, hierarchical, layers.size(),
      count([](const MoELayer* layer) { return layer->returns_single(); }));
}

void Trainer::log_summary(const ModelSummary& summary) const {
  log::info("moe-train {} | {} | {} rank{} x {} thread{} ({}) | expert parallel {} | {}", version(), folder_.path(),
            groups_.world->size(), groups_.world->size() == 1 ? "" : "s", cpu_.threads, cpu_.threads == 1 ? "" : "s",
            cpu_.source, groups_.expert->size(), computed_in(device_.device, device_.precision));
  if (device_.device == Device::cuda) log::info("gpu   {}", device_.description);
  if (const std::string advice = faster_precision(device_.device, device_.precision); !advice.empty()) {
    log::info("cpu   {}", advice);
  }
  log::info("data  {}", task_->summary());
  for (const std::string& doubt : task_->doubts()) log::warn("data  {}", doubt);
  log::info("model {} parameters, {} active per token | {:.1f} MFLOP per token | {} per rank",
            format_count(static_cast<double>(summary.parameters)),
            format_count(static_cast<double>(summary.active_parameters)), summary.flops_per_token / 1e6,
            format_bytes(static_cast<double>(plan_.total())));
  if (const std::string warning = device_.device == Device::cpu ? memory_warning(read_memory_limit(SystemFiles()),
                                                                                 plan_.total(), cpu_.local_ranks)
                                                                : "";
      !warning.empty()) {
    log::warn("{}", warning);
  }
  if (placement_.moves() && !placement_.is_active(groups_)) {
    log::info("experts are not moved{} (parallel.placement: {}{}), because each rank holds all of them",
              placement_.replicates() ? " or copied" : "", placement_.kind(),
              placement_.replicates() ? fmt::format(", parallel.replicas: {}", config_.parallel.replicas) : "");
  }
  const std::span<MoELayer* const> layers = state_->model->moe_layers();
  for (const std::string& notice : {overlap_notice(config_.parallel.overlap, groups_, layers),
                                    two_stages_notice(config_.parallel.all_to_all, groups_, layers)}) {
    if (!notice.empty()) log::info("{}", notice);
  }
  for (const MoELayer* layer : layers) {
    const auto& run = layer->traits().replays;
    if (run) {
      log::info("experts of training are those of {} (moe.router: replay); evaluations choose by this run's own logits",
                *run);
      break;
    }
  }
  for (const std::string& line : initialisation_.to_words()) log::info("init  {}", line);
  log::info("run   {} updates of {} tokens ({:.2f} epochs)", end_, format_count(length_.tokens_per_update),
            static_cast<double>(end_) / length_.updates_per_epoch);
  if (end_ != length_.total_updates) {
    log::info("run   its schedules are planned for {} updates (train.extend: {})", length_.total_updates,
              config_.train.extend);
  }
  for (const ConfigDifference& change : changes_) log::info("change {}", change.to_string());
  if (curriculum_->has_store()) {
    const auto bytes = static_cast<double>(curriculum_->store().bytes());
    const double share = bytes / (bytes + static_cast<double>(plan_.total()));
    log::info("store {} for the difficulty of {} samples, {:.2f} % of the run's memory", format_bytes(bytes),
              format_count(static_cast<double>(task_->num_samples())), share * 100);
  }
}

// What --change changed when this process went on, by key; null for nothing.
static Json changes_to_json(const std::vector<ConfigDifference>& changes) {
  Json json;
  for (const ConfigDifference& c : changes) json[c.key] = {{"before", c.before}, {"after", c.after}};
  return json;
}

void Trainer::write_manifest(const ModelSummary& summary) const {
  // The same configuration has the same hash, wherever its data is.
  TrainConfig config = config_;
  config.data.path_absolute.clear();
  config.data.tokenizer_absolute.clear();
  const std::string program_hash = hash_of_text(read_text("/proc/self/exe"));
  folder_.write_manifest({{"schema", 1},
                          {"version", version()},
                          {"build", build_info(cuda::build_description())},
                          {"host", host_name()},
                          {"pid", getpid()},
                          {"device", name_of(device_.device)},
                          {"device_name", device_.description},
                          {"precision", name_of(device_.precision)},
                          {"instruction_set", name_of(instruction_set())},
                          {"ranks", groups_.world->size()},
                          {"expert_parallel", groups_.expert->size()},
                          {"threads_per_rank", cpu_.threads},
                          {"seed", config_.seed},
                          {"config_hash", hash_of_text(write_yaml(config, false))},
                          {"program_hash", program_hash},
                          {"data", run_.identity},
                          {"task", config_.task},
                          {"sequence", task_->shape().time},
                          {"tokens_per_update", length_.tokens_per_update},
                          {"updates", end_},
                          {"parameters", summary.parameters},
                          {"active_parameters", summary.active_parameters},
                          {"flops_per_token", summary.flops_per_token},
                          {"bytes_per_rank", plan_.total()},
                          {"resumed_at", run_.step}},
                         {{"from", run_.step},
                          {"updates", end_},
                          {"planned_updates", length_.total_updates},
                          {"changes", changes_to_json(changes_)},
                          {"host", host_name()},
                          {"ranks", groups_.world->size()},
                          {"threads_per_rank", cpu_.threads},
                          {"instruction_set", name_of(instruction_set())},
                          {"precision", name_of(device_.precision)},
                          {"program_hash", program_hash}});
}

}  // namespace moe
