#include "core/train/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>

#include "comm/agreement.h"
#include "core/base/build_info.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/metric_keys.h"
#include "core/checkpoint/files.h"
#include "core/config/config_writer.h"
#include "core/config/field_walker.h"
#include "core/lifecycle/lifecycle_record.h"
#include "core/lifecycle/moved_tensors.h"
#include "core/machine/memory.h"
#include "core/step/capacity_state.h"
#include "core/step/memory_state.h"
#include "core/tensor/device.h"
#include "core/train/check_run.h"
#include "core/train/difficulty_source.h"
#include "data/content_hash.h"

namespace moe {

using Clock = std::chrono::steady_clock;
static double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

static uint64_t hash_of(const std::string& content) {
  ContentHash hash;
  hash.update(content.data(), static_cast<int64_t>(content.size()));
  return hash.value();
}

// Sets the keys' names also in a configuration that was built by code, for error messages.
static TrainConfig named(TrainConfig config) {
  name_fields(config);
  return config;
}

// Rank 0 alone decides where a run goes on: a shared file system may show the ranks different folders.
static std::optional<int64_t> last_checkpoint(const CheckpointFolder& checkpoints, Communicator& world) {
  double step = world.rank() == 0 ? static_cast<double>(checkpoints.last().value_or(-1)) : 0;
  world.broadcast(as_tensor(std::span(&step, 1)), 0);
  return step < 0 ? std::nullopt : std::optional(static_cast<int64_t>(step));
}

Trainer::Trainer(const TrainConfig& config, std::shared_ptr<Communicator> world, const CpuSetup& cpu,
                 const DeviceChoice& device, ResumeMode resume)
    : config_(named(config)),
      state_config_(config_),
      groups_(ProcessGroups::make(communicator_for(device, config.parallel.communication, std::move(world)),
                                  config.parallel.expert, smallest_experts(config.model, config.moe))),
      cpu_(cpu),
      device_(device),
      task_(open_task(config)),
      length_(run_length(config, *task_)),
      lifecycle_(config.model, config.moe, length_),
      folder_(config_),
      best_(run_, *task_),
      bar_(groups_.world->rank() == 0) {
  require_agreement(*groups_.world, "the same data",
                    {{"data", json_text(task_->identity())}, {"samples", json_text(task_->samples())}});
  saved_ = last_checkpoint(folder_.checkpoints(), *groups_.world);
  const std::optional<int64_t> step = folder_.step_to_resume(config_, resume, saved_);
  check_run({.config = config_,
             .task = *task_,
             .length = length_,
             .ranks = groups_.world->size(),
             .starts = !step.has_value()});
  scheduled_.emplace(config_, length_);
  learning_rate_.emplace(config_.train.learning_rate.make(length_));
  plan_ = plan_memory(state_setup());
  run_.length = length_;
  run_.identity = task_->identity();
  curriculum_ = std::make_unique<Curriculum>(Curriculum::Setup{.config = config_.curriculum,
                                                               .samples = task_->num_samples(),
                                                               .batch = config_.train.batch,
                                                               .seed = static_cast<uint64_t>(config_.seed),
                                                               .run = length_,
                                                               .data = task_->samples()},
                                             step ? "" : find_difficulties(config_.curriculum));
  batches_.emplace(config_, *task_, *curriculum_);
  if (step) {
    resume_from(*step);
  } else {
    build_state(true);
    initialisation_ = initialise_run(*state_, *train_step_, state_config_, groups_, *task_);
  }
  groups_.world->barrier();  // no rank writes to the folder before all ranks have checked it
  if (is_first()) open_files(step.has_value());
}

// For rank 0: opens the run's folder and files, and reports what the run is.
void Trainer::open_files(bool resumed) {
  folder_.prepare(config_);
  log::add_file(folder_.path() + "/train.log");
  if (resumed) {
    log::info("Resuming {} at step {}", folder_.path(), run_.step);
    // The process may have been killed between saving the best checkpoint and marking it.
    if (config_.checkpoint.keep_best && run_.best_step == run_.step && folder_.checkpoints().best() != run_.step) {
      folder_.checkpoints().mark_best(run_.step);
    }
  }
  metrics_ = std::make_unique<MetricsFile>(folder_.path() + "/metrics.jsonl", run_.step, run_.step_finished);
  describe();
}

StateSetup Trainer::state_setup() const {
  return {.config = state_config_,
          .sample = task_->shape(),
          .groups = groups_,
          .run = length_,
          .dtype = device_.dtype,
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
  train_step_.emplace(*state_, config_, groups_, length_);
  if (!alarm_) alarm_ = std::make_unique<CollapseAlarm>(config_.moe.alarm, state_->model->moe_layers().size());
}

void Trainer::resume_from(int64_t step) {
  const std::string path = folder_.checkpoints().path(step);
  const Json identity = run_.identity;
  run_ = load_run_state(path);
  run_.length = length_;
  if (run_.identity != identity) {
    raise<CheckpointError>("{} was trained on other data: the checkpoint has {}, this run has {}", path,
                           json_text(run_.identity), json_text(identity));
  }
  lifecycle_.restore(run_.experts, path);
  if (const int64_t experts = fewest(lifecycle_.numbers()); experts != smallest_experts(config_.model, config_.moe)) {
    groups_ = ProcessGroups::make(groups_.world, config_.parallel.expert, experts);
  }
  state_config_ = with_experts(config_, lifecycle_.numbers());
  build_state(false);
  load_tensors(path, state_->parameters, state_->optimizer.get());
  restore_capacity_state(*state_->model, run_.capacity, path);
  alarm_->restore(*state_->model, run_.alarm, path);
  if (curriculum_->has_store()) curriculum_->read(path + "/" + Curriculum::kFile);
  if (const auto place = curriculum_->stream(run_.step)) {
    restore_memory(state_->memory, state_setup().rows().begin, place->step * task_->shape().time, path);
  }
}

// For rank 0: logs a summary of the run and writes the manifest.
void Trainer::describe() const {
  const ModelSummary summary = summarise(state_config_, task_->shape(), length_);
  log_summary(summary);
  for (const auto& record : initialisation_.to_json()) metrics_->write("init", run_.step, record);
  // Reopening a finished run must not overwrite its manifest.
  const bool finished = run_.step > 0 && run_.step >= length_.total_updates;
  if (!finished || !folder_.has_manifest()) write_manifest(summary);
}

void Trainer::log_summary(const ModelSummary& summary) const {
  log::info("moe-train {} | {} | {} rank{} x {} thread{} ({}) | expert parallel {} | {}", version(), folder_.path(),
            groups_.world->size(), groups_.world->size() == 1 ? "" : "s", cpu_.threads, cpu_.threads == 1 ? "" : "s",
            cpu_.source, groups_.expert->size(), cpu_instruction_set());
  if (device_.device == Device::cuda) log::info("gpu   {} | {}", device_.description, name_of(device_.dtype));
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
  for (const std::string& line : initialisation_.to_words()) log::info("init  {}", line);
  log::info("run   {} updates of {} tokens ({:.2f} epochs)", length_.total_updates,
            format_count(length_.tokens_per_update),
            static_cast<double>(length_.total_updates) / length_.updates_per_epoch);
  if (curriculum_->has_store()) {
    const auto bytes = static_cast<double>(curriculum_->store().bytes());
    const double share = bytes / (bytes + static_cast<double>(plan_.total()));
    log::info("store {} for the difficulty of {} samples, {:.2f} % of the run's memory", format_bytes(bytes),
              format_count(static_cast<double>(task_->num_samples())), share * 100);
  }
}

void Trainer::write_manifest(const ModelSummary& summary) const {
  char host[256] = "?";
  gethostname(host, sizeof host - 1);
  // The same configuration has the same hash, wherever its data is.
  TrainConfig config = config_;
  config.data.path_absolute.clear();
  config.data.tokenizer_absolute.clear();
  const std::string program_hash = format_hash(hash_of(read_text("/proc/self/exe")));
  folder_.write_manifest({{"schema", 1},
                          {"version", version()},
                          {"build", build_info(cuda::built())},
                          {"host", host},
                          {"pid", getpid()},
                          {"device", name_of(device_.device)},
                          {"device_name", device_.description},
                          {"precision", name_of(device_.dtype)},
                          {"instruction_set", cpu_instruction_set()},
                          {"ranks", groups_.world->size()},
                          {"expert_parallel", groups_.expert->size()},
                          {"threads_per_rank", cpu_.threads},
                          {"seed", config_.seed},
                          {"config_hash", format_hash(hash_of(write_yaml(config, false)))},
                          {"program_hash", program_hash},
                          {"data", run_.identity},
                          {"task", config_.task},
                          {"sequence", task_->shape().time},
                          {"tokens_per_update", length_.tokens_per_update},
                          {"updates", length_.total_updates},
                          {"parameters", summary.parameters},
                          {"active_parameters", summary.active_parameters},
                          {"flops_per_token", summary.flops_per_token},
                          {"bytes_per_rank", plan_.total()},
                          {"resumed_at", run_.step}},
                         {{"from", run_.step},
                          {"updates", length_.total_updates},
                          {"host", host},
                          {"ranks", groups_.world->size()},
                          {"threads_per_rank", cpu_.threads},
                          {"instruction_set", cpu_instruction_set()},
                          {"program_hash", program_hash}});
}

bool Trainer::is_due(const Duration& every, int64_t step) const {
  const auto updates = static_cast<int64_t>(std::llround(to_updates(every, length_)));
  return every.amount > 0 && step % std::max<int64_t>(updates, 1) == 0;
}

ExitCode Trainer::run() {
  if (run_.step == 0) run_evaluation();
  if (!run_.step_finished) finish_step();
  int signal = 0;
  while (run_.step < length_.total_updates && signal == 0 && !out_of_patience()) {
    if (!lifecycle_.empty()) {
      lifecycle_.happen(
          run_.step, curriculum_->open(run_.step), [&]() -> TrainingState& { return *state_; },
          [&](const ExpertChange& change) { change_experts(change); });
    }
    const auto start = Clock::now();
    const LocalBatch batch = batches_->draw(run_.step, *groups_.world);
    const StepOutcome outcome =
        train_step_->run(batch, run_.step, learning_rate_->at(static_cast<uint64_t>(run_.step)), signals_.received());
    if (!outcome.finite()) {
      raise<DivergedError>(
          "step {}: loss {}, gradient norm {}: training diverged; the last checkpoint is of step {}. Try a lower "
          "learning rate, a longer warm-up or a smaller train.clip_norm",
          run_.step + 1, outcome.loss, outcome.norm, saved_.value_or(0));
    }
    curriculum_->observe(run_.step, train_step_->sample_signals());
    lifecycle_.observe(*state_->model);
    ++run_.step;
    run_.tokens += outcome.tokens;
    run_.unlogged_loss += outcome.loss;
    ++run_.unlogged_steps;
    seconds_ += seconds_since(start);
    ++steps_;
    signal = outcome.signal;
    run_.step_finished = false;
    // A signal is no reason to log: the run has the same records as one that was not interrupted.
    if (is_due(config_.log.every, run_.step) || run_.step == length_.total_updates)
      log_step(outcome);
    else if (is_first())
      bar_.draw(run_.step, length_.total_updates, progress_text(outcome));
    heed_alarm();
    if (!signal) finish_step();
  }
  bar_.clear();
  if (signal) {
    save_checkpoint();
    log::info("Training interrupted at step {} (signal {}); run the same command to continue", run_.step, signal);
    return signal == SIGINT ? ExitCode::interrupted : ExitCode::terminated;
  }
  if (run_.step < length_.total_updates) {
    save_checkpoint();
    if (is_first()) metrics_->write(metric_keys::kStopped, run_.step, {{"reason", "patience"}});
    log::info("No better evaluation in the last {} evaluations (best: {} at step {}): stopped early at step {} of {}",
              run_.evaluations_since_best, best_.figure(), run_.best_step, run_.step, length_.total_updates);
  }
  log::info("Training finished: {}", folder_.path());
  return ExitCode::done;
}

// What is due after a step. After a signal it is made up for when the run goes on.
void Trainer::finish_step() {
  const bool last = run_.step == length_.total_updates, stored = saved_ == run_.step;
  if (is_due(config_.sample.every, run_.step)) show_sample();
  // Set before the evaluation, the last of what is due, because it saves a checkpoint if it is the best.
  run_.step_finished = true;
  if (is_due(config_.evaluate.every, run_.step) || last) run_evaluation();
  if (stored) {
    if (is_first()) folder_.checkpoints().replace_state(run_);
  } else if (is_due(config_.checkpoint.every, run_.step) || last) {
    save_checkpoint();
  }
}

std::string Trainer::progress_text(const StepOutcome& outcome) const {
  const double per_step = seconds_ / static_cast<double>(steps_);
  return fmt::format("{}/{} loss {:.4f} {} tok/s eta {}", run_.step, length_.total_updates, outcome.loss,
                     format_count(length_.tokens_per_update / per_step),
                     format_seconds(static_cast<double>(length_.total_updates - run_.step) * per_step));
}

void Trainer::log_step(const StepOutcome& outcome) {
  TrainRecord record;
  record.step = run_.step;
  record.total_steps = length_.total_updates;
  record.tokens = run_.tokens;
  record.loss = run_.unlogged_loss / static_cast<double>(run_.unlogged_steps);
  record.figures = task_->training_figures(record.loss, outcome);
  record.last = outcome;
  record.milliseconds = seconds_ * 1e3 / static_cast<double>(steps_);
  record.tokens_per_second = length_.tokens_per_update * static_cast<double>(steps_) / seconds_;
  record.seconds_left = static_cast<double>(length_.total_updates - run_.step) * seconds_ / static_cast<double>(steps_);
  record.curriculum = curriculum_->record();
  record.scheduled = scheduled_->at(run_.step - 1);
  curriculum_->clear();
  run_.unlogged_loss = seconds_ = 0;
  run_.unlogged_steps = steps_ = 0;
  if (!is_first()) return;
  bar_.clear();
  log::info("{}", console_line(record, *state_->model));
  metrics_->write(metric_keys::kTrain, run_.step, to_json(record, *state_->model));
}

// The loss on a part of the validation split that is as long as a batch, the same in any layout; nullopt without that
// split.
std::optional<double> Trainer::probe_loss() {
  if (!task_->has_split("validation")) return std::nullopt;
  const int64_t predictions = state_->model->predictions_per_sample(task_->shape().time);
  const int64_t tokens = config_.train.batch * predictions + 1;
  return evaluate(*state_, groups_, *task_, "validation", {0, 0, tokens, state_setup().micro_sequences()}).nll();
}

void Trainer::change_experts(const ExpertChange& change) {
  const auto start = Clock::now();
  // The step of the latest update, also in a run that is being resumed.
  const auto latest = static_cast<uint64_t>(std::max<int64_t>(run_.step - 1, 0));
  state_->ctx.step = latest;
  const std::optional<double> before = probe_loss();
  const auto capacity = capacity_state(*state_->model), alarm = alarm_->state(*state_->model);
  if (change.before == change.after) {
    MovedTensors(*state_, groups_, groups_, change, run_.step).write_to(*state_);
  } else {
    const ProcessGroups next = ProcessGroups::make(groups_.world, config_.parallel.expert, fewest(change.after));
    const MovedTensors moved(*state_, groups_, next, change, run_.step);
    state_config_ = with_experts(config_, change.after);
    groups_ = next;
    // The context memory of attention, which is independent of the experts.
    ContextMemory memory = std::move(state_->memory);
    build_state(false);
    state_->memory = std::move(memory);
    moved.write_to(*state_);
    restore_capacity_state(*state_->model, capacity, "the run");
    alarm_->restore(*state_->model, alarm, "the run");
    state_->ctx.step = latest;
  }
  const ChangeOutcome outcome{.loss_before = before,
                              .loss_after = probe_loss(),
                              .why = why_changed(change, *state_->model),
                              .seconds = seconds_since(start)};
  if (!is_first()) return;
  bar_.clear();
  for (const std::string& line : to_words(change, outcome, *state_->model, run_.step)) log::info("{}", line);
  for (const auto& record : to_json(change, outcome, *state_->model))
    metrics_->write(metric_keys::kLifecycle, run_.step, record);
}

void Trainer::run_evaluation() {
  static const std::string kSplit = "validation";
  if (!task_->has_split(kSplit)) return;
  const auto start = Clock::now();
  const Evaluation result =
      evaluate(*state_, groups_, *task_, kSplit,
               {0, config_.evaluate.stride, config_.evaluate.tokens, state_setup().micro_sequences()});
  if (!std::isfinite(result.nll())) raise<DivergedError>("step {}: the validation loss is {}", run_.step, result.nll());
  const BestEvaluation::Verdict verdict = best_.judge(result);
  if (is_first()) {
    bar_.clear();
    std::string figures = join(to_words(result), " ");
    if (task_->entropy_rate()) figures += fmt::format(" (entropy rate {:.4f})", *task_->entropy_rate());
    log::info("[valid] step {} | {} | {}", run_.step, figures, verdict.words);
    Json record = to_json(result);
    record["split"] = kSplit;
    record[metric_keys::kData] = format_hash(task_->content_hash(kSplit));
    record[metric_keys::kStride] = config_.evaluate.stride > 0 ? config_.evaluate.stride : task_->shape().time;
    if (state_->memory) {
      record["memory"] = config_.model.attention.memory;
      record["streams"] = config_.evaluate.streams;
    }
    record["best"] = verdict.is_best;
    record["seconds"] = seconds_since(start);
    add_loads(record, *state_->model);
    metrics_->write(metric_keys::kEvaluation, run_.step, record);
  }
  if (verdict.is_best && run_.step > 0 && config_.checkpoint.keep_best) {
    save_checkpoint();
    if (is_first()) folder_.checkpoints().mark_best(run_.step);
    groups_.world->barrier();
  }
}

bool Trainer::out_of_patience() const {
  return config_.evaluate.patience > 0 && run_.evaluations_since_best >= config_.evaluate.patience;
}

// Collective: the sums are the same on all ranks.
void Trainer::heed_alarm() {
  const std::string& action = config_.moe.alarm.action;
  const std::vector<CollapseAlarm::Event> events = alarm_->observe(*state_->model);
  for (const CollapseAlarm::Event& event : events) {
    BalanceSet& balance = state_->model->moe_layers()[event.moe_layer]->balance();
    if (action == "raise") balance.raise_by(config_.moe.alarm.factor);
    if (!is_first()) continue;
    bar_.clear();
    log::warn(
        "step {}: {}, beyond the limit {} for {} updates{}", run_.step, event.in_words(), event.limit,
        config_.moe.alarm.updates,
        action == "raise" ? fmt::format("; its balance losses are now multiplied by {:.3g}", balance.raised()) : "");
    metrics_->write("alarm", run_.step,
                    {{"layer", event.layer},
                     {"quantity", event.quantity},
                     {"value", event.value},
                     {"limit", event.limit},
                     {"expert", event.expert},
                     {"action", action},
                     {"raised", balance.raised()}});
  }
  if (!events.empty() && action == "restart") {
    const auto [use, experts] = CollapseAlarm::under_used(*state_->model, events);
    const double noise = config_.moe.alarm.noise;
    change_experts(restart_experts(use, experts, lifecycle_.numbers(), noise, noise));
  }
  if (events.empty() || action != "stop") return;
  save_checkpoint();
  raise<CollapseError>(
      "step {}: {}, beyond the limit {} for {} updates; a checkpoint is saved. The limits are set by moe.alarm",
      run_.step, events[0].in_words(), events[0].limit, config_.moe.alarm.updates);
}

void Trainer::show_sample() {
  const std::optional<GeneratedText> sample = task_->generate(*state_, run_.step);
  if (!sample || !is_first()) return;
  bar_.clear();
  log::info("[sample] step {} | {} >>> {}", run_.step, sample->prompt, sample->text);
  metrics_->write(metric_keys::kSample, run_.step, {{"text", sample->text}});
}

void Trainer::save_checkpoint() {
  const CheckpointFolder& checkpoints = folder_.checkpoints();
  if (saved_ == run_.step) return;
  const auto start = Clock::now();
  std::vector<CheckpointFile> files{{"config.yaml", write_yaml(config_, false)},
                                    {tasks().at(config_.task).file, json_text(task_->description(), 2) + "\n"}};
  if (curriculum_->has_store()) {
    files.emplace_back(Curriculum::kFile, [&](const FileSink& sink) { curriculum_->write(sink); });
  }
  run_.capacity = capacity_state(*state_->model);
  run_.alarm = alarm_->state(*state_->model);
  run_.experts = lifecycle_.save();
  checkpoints.save(run_, state_->parameters, *state_->optimizer, groups_, files,
                   {kMemoryFile, memory_tensors(state_->memory, state_setup().rows().begin)});
  saved_ = run_.step;
  if (!is_first()) return;
  checkpoints.prune(config_.checkpoint.keep_last, config_.checkpoint.keep_best);
  metrics_->write("checkpoint", run_.step, {{"seconds", seconds_since(start)}});
}

}  // namespace moe
