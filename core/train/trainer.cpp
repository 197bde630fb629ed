#include "core/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <utility>

#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/metric_keys.h"
#include "core/config/config_writer.h"
#include "core/lifecycle/lifecycle_record.h"
#include "core/lifecycle/moved_tensors.h"
#include "core/lifecycle/placement_record.h"
#include "core/machine/memory.h"
#include "core/step/capacity_state.h"
#include "core/step/memory_state.h"
#include "core/train/free_space.h"

namespace moe {

using Clock = std::chrono::steady_clock;
static double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

static constexpr const char* kRecords = "records";  // of RunState::unmeasured_change

bool Trainer::is_due(const Duration& every, int64_t step) const {
  return every.amount > 0 && step % std::max<int64_t>(to_whole_updates(every, length_), 1) == 0;
}

// By wall time, rank 0's clock decides.
bool Trainer::checkpoint_is_due() const {
  const Duration& every = config_.checkpoint.every;
  if (!every.is_wall_time()) return is_due(every, run_.step);
  double due = is_first() && every.amount > 0 && seconds_since(last_save_) >= every.amount ? 1 : 0;
  groups_.world->broadcast(as_tensor(std::span(&due, 1)), 0);
  return due != 0;
}

// Adds up the losses of the latest batch by the corpora that its samples come from.
void Trainer::observe_sources() {
  const std::span<const Task::Source> sources = task_->sources();
  if (sources.empty()) return;
  run_.unlogged_sources.resize(sources.size());
  const std::span<const double> values = train_step_->sample_signals();
  for (size_t i = 0; i < batches_->visits().size(); ++i) {
    int64_t sample = batches_->visits()[i].sample;
    size_t source = 0;
    while (sample >= sources[source].samples) sample -= sources[source++].samples;
    run_.unlogged_sources[source].first += values[i * kNumMeasuredSignals + index_of(SampleSignal::loss)];
    run_.unlogged_sources[source].second += 1;
  }
}

// One update, and what follows from its results for the next one.
StepOutcome Trainer::make_update() {
  const auto start = Clock::now();
  const LocalBatch batch = batches_->draw(run_.step, *groups_.world);
  if (traffic_ && is_due(config_.log.communication, run_.step + 1)) traffic_->begin_step();
  if (traces(kTraining, run_.step + 1)) tracer_.begin(*state_->model);
  const StepOutcome outcome =
      train_step_->run(batch, run_.step, learning_rate_->at(static_cast<uint64_t>(run_.step)), stop_.before_update());
  if (!outcome.finite()) {
    record_divergence(run_.step + 1);
    raise<DivergedError>(
        "step {}: loss {}, gradient norm {}: training diverged; the last checkpoint is of step {}. Try a lower "
        "learning rate, a longer warm-up or a smaller train.clip_norm",
        run_.step + 1, outcome.loss, outcome.norm, saved_.value_or(0));
  }
  curriculum_->observe(run_.step, train_step_->sample_signals());
  observe_sources();
  lifecycle_.observe(*state_->model);
  placement_.observe(*state_->model, groups_);
  ++run_.step;
  run_.tokens += outcome.tokens;
  run_.unlogged_loss += outcome.loss;
  ++run_.unlogged_steps;
  run_.step_finished = false;
  run_.lifecycle_records = 0;
  const double seconds = seconds_since(start);
  stop_.took_update(seconds);
  seconds_ += seconds;
  ++steps_;
  return outcome;
}

// Whatever a run cannot write because its folder is gone, that is the reason to report.
ExitCode Trainer::run() {
  try {
    return train();
  } catch (const CheckpointError&) {
    if (is_first()) lock_->require_folder();
    throw;
  }
}

ExitCode Trainer::train() {
  if (!has_work()) {
    log::info(
        "Nothing to do: {} has been trained for {} updates, and train.steps asks for {}. Set train.steps to more to go "
        "on",
        folder_.path(), run_.step, end_);
    return ExitCode::done;
  }
  int signal = finish_change();
  if (!signal && !run_.step_finished) signal = finish_step();
  while (run_.step < end_ && signal == 0 && !out_of_patience()) {
    signal = apply_lifecycle();
    if (signal) break;
    const StepOutcome outcome = make_update();
    signal = outcome.signal;
    // A signal is no reason to log: the run has the same records as one that was not interrupted.
    log_communication();
    trace_update();
    if (is_due(config_.log.every, run_.step) || run_.step == end_)
      log_step(outcome);
    else if (is_first())
      bar_.draw(run_.step, end_, progress_text(outcome));
    place_experts();
    if (const int asked = heed_alarm(); !signal) signal = asked;
    if (!signal) signal = finish_step();
  }
  bar_.clear();
  if (is_first() && !traffic_totals_.empty()) {
    for (const std::string& line : traffic_totals_.to_words()) log::info("{}", line);
  }
  if (signal) return end_interrupted(signal);
  if (run_.step < end_) {
    save_checkpoint();
    if (is_first()) records_->write(metric_keys::kStopped, run_.step, {{"reason", "patience"}});
    log::info("No better evaluation in the last {} evaluations (best: {} at step {}): stopped early at step {} of {}",
              run_.evaluations_since_best, best_.figure(), run_.best_step, run_.step, end_);
  }
  if (is_first()) lock_->require_folder();
  log::info("Training finished: {}", folder_.path());
  return ExitCode::done;
}

ExitCode Trainer::end_interrupted(int signal) {
  save_checkpoint();
  if (stop_.is_late()) {
    log::info("Training interrupted at step {}: train.time_limit of {} is near; run the same command to continue",
              run_.step, format_seconds(config_.train.time_limit.amount));
  } else {
    log::info("Training interrupted at step {} (signal {}); run the same command to continue", run_.step, signal);
  }
  return signal == SIGINT ? ExitCode::interrupted : ExitCode::terminated;
}

// What is due after a step; before the first one that is an evaluation. After a signal, which is returned, it is made
// up for when the run goes on.
int Trainer::finish_step() {
  const bool first = run_.step == 0, last = run_.step == end_, stored = saved_ == run_.step;
  if (!first && is_due(config_.sample.every, run_.step)) {
    if (const int signal = show_sample()) return signal;
  }
  // Set before the evaluation, the last of what is due, because it saves a checkpoint if it is the best.
  run_.step_finished = true;
  if (is_due(config_.evaluate.every, run_.step) || first || last) {
    if (const int signal = run_evaluation()) {
      run_.step_finished = false;
      return signal;
    }
  }
  if (stored) {
    if (is_first()) folder_.checkpoints().replace_state(run_);
  } else if ((!first && checkpoint_is_due()) || last) {
    save_checkpoint();
  }
  return 0;
}

std::string Trainer::progress_text(const StepOutcome& outcome) const {
  const double per_step = seconds_ / static_cast<double>(steps_);
  return fmt::format("{}/{} loss {:.4f} {} tok/s eta {}", run_.step, end_, outcome.loss,
                     format_count(length_.tokens_per_update / per_step),
                     format_seconds(static_cast<double>(end_ - run_.step) * per_step));
}

// What evaluations and samples ask before each of their parts, on every rank: whether a signal ends them. It is stored
// in `signal`.
std::function<bool()> Trainer::stop_between_parts(int& signal) {
  return [this, &signal, longest = 0.0, part = Clock::now()]() mutable {
    longest = std::max(longest, seconds_since(part));
    part = Clock::now();
    signal = stop_.before_part(longest, *groups_.world);
    return signal != 0;
  };
}

// The loss on a part of the validation split that is as long as a batch, the same in any layout; nullopt without that
// split, or if `stop` ended it.
std::optional<double> Trainer::probe_loss(const std::function<bool()>& stop) {
  if (!task_->has_split(kSplit)) return std::nullopt;
  const int64_t predictions = state_->model->predictions_per_sample(task_->shape().time);
  const int64_t tokens = config_.train.batch * predictions + 1;
  EvaluationOptions options{0, 0, tokens, state_setup().micro_sequences()};
  options.stop = stop;
  const Evaluation result = evaluate(*state_, groups_, *task_, kSplit, options);
  return result.is_complete ? std::optional(result.nll()) : std::nullopt;
}

// Applies the events of moe.lifecycle that are due. Returns the signal that ended it early, or 0.
int Trainer::apply_lifecycle() {
  int signal = 0;
  if (lifecycle_.empty()) return signal;
  lifecycle_.happen(
      run_.step, curriculum_->open(run_.step), [&]() -> TrainingState& { return *state_; },
      [&](const ExpertChange& change) {
        signal = change_experts(change);
        return signal == 0;
      });
  return signal;
}

// Returns the signal that ended it early, or 0. The change is always made: it cannot be undone. After a signal only the
// loss after it is left for when the run goes on, at a checkpoint that has the change.
int Trainer::change_experts(const ExpertChange& change, const char* cause) {
  const auto start = Clock::now();
  // The step of the latest update, also in a run that is being resumed.
  const auto latest = static_cast<uint64_t>(std::max<int64_t>(run_.step - 1, 0));
  state_->ctx.step = latest;
  const std::optional<double> before = probe_loss({});
  const auto capacity = capacity_state(*state_->model), alarm = alarm_->state(*state_->model);
  if (change.before == change.after) {
    MovedTensors(*state_, groups_, groups_, change, run_.step).write_to(*state_);
    for (MoELayer* layer : state_->model->moe_layers()) layer->update_copies(state_->ctx);
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
    placement_.forget();
    restore_capacity_state(*state_->model, capacity, "the run");
    alarm_->restore(*state_->model, alarm, "the run");
    state_->ctx.step = latest;
  }
  int signal = 0;
  const ChangeOutcome outcome{.loss_before = before,
                              .loss_after = probe_loss(stop_between_parts(signal)),
                              .why = why_changed(change, *state_->model),
                              .seconds = seconds_since(start)};
  if (is_first()) {
    bar_.clear();
    for (const std::string& line : to_words(change, outcome, *state_->model, run_.step)) log::info("{}", line);
  }
  const std::vector<Json> records = to_json(change, outcome, *state_->model);
  if (signal)
    run_.unmeasured_change = {{metric_keys::kCause, cause}, {kRecords, records}};
  else
    write_change(records, cause);
  return signal;
}

// Moves experts between ranks if that is due after the update. A checkpoint of the step has them at their new places,
// so a run that goes on from it does not move them again.
void Trainer::place_experts() {
  if (!placement_.is_due(run_.step, groups_)) return;
  const auto start = Clock::now();
  PlacementOutcome outcome{.kind = placement_.kind(),
                           .updates = placement_.updates(),
                           .layers = {},
                           .counts_pairs = placement_.counts_pairs(),
                           .replicates = placement_.replicates()};
  outcome.layers = placement_.place(*state_, groups_);
  outcome.seconds = seconds_since(start);
  if (!is_first()) return;
  bar_.clear();
  log::info("{}", to_words(outcome, run_.step));
  records_->write(metric_keys::kPlacement, run_.step, to_json(outcome));
}

// Measures the loss after a change of experts if a signal ended the run before it was. Returns a signal that ends it
// again, or 0.
int Trainer::finish_change() {
  if (run_.unmeasured_change.is_null()) return 0;
  const auto start = Clock::now();
  state_->ctx.step = static_cast<uint64_t>(std::max<int64_t>(run_.step - 1, 0));
  int signal = 0;
  const std::optional<double> loss = probe_loss(stop_between_parts(signal));
  if (signal) return signal;
  try {
    std::vector<Json> records;
    for (Json record : run_.unmeasured_change.at(kRecords)) {
      if (loss) add_loss_after(record, *loss, seconds_since(start));
      records.push_back(std::move(record));
    }
    if (loss) log::info("[lifecycle]  step {} | loss {:.4f} after the change", run_.step, *loss);
    write_change(records, run_.unmeasured_change.at(metric_keys::kCause).get<std::string>());
  } catch (const JsonError& error) {
    raise<CheckpointError>("{}/state.json is damaged: {}", folder_.checkpoints().path(run_.step), error.what());
  }
  run_.unmeasured_change = nullptr;
  return 0;
}

// Returns the signal that ended it early, or 0.
int Trainer::run_evaluation() {
  if (!task_->has_split(kSplit)) return 0;
  const auto start = Clock::now();
  int signal = 0;
  EvaluationOptions options{0, config_.evaluate.stride, config_.evaluate.tokens, state_setup().micro_sequences()};
  options.stop = stop_between_parts(signal);
  const bool traced = traces(kSplit, run_.step);
  if (traced) tracer_.begin(*state_->model);
  const Evaluation result = evaluate(*state_, groups_, *task_, kSplit, options);
  if (!result.is_complete) {
    tracer_.stop(*state_->model);
    return signal;
  }
  if (traced) trace_evaluation(options);
  if (!std::isfinite(result.nll())) {
    record_divergence(run_.step);
    raise<DivergedError>("step {}: the validation loss is {}", run_.step, result.nll());
  }
  const BestEvaluation::Verdict verdict = best_.judge(result);
  if (is_first()) record_evaluation(result, verdict, seconds_since(start));
  if (verdict.is_best && config_.checkpoint.keep_best) {
    save_checkpoint();
    if (is_first()) {
      lock_->require_folder();
      folder_.checkpoints().mark_best(run_.step);
      remove_old_checkpoints();  // the one that was the best until now
    }
    groups_.world->barrier();
  }
  return 0;
}

bool Trainer::out_of_patience() const {
  return config_.evaluate.patience > 0 && run_.evaluations_since_best >= config_.evaluate.patience;
}

// Collective: the sums are the same on all ranks. Returns a signal that ended the restart of experts early, or 0.
int Trainer::heed_alarm() {
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
    records_->write(metric_keys::kAlarm, run_.step,
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
    return change_experts(restart_experts(use, experts, lifecycle_.numbers(), noise, noise), metric_keys::kAlarm);
  }
  if (events.empty() || action != "stop") return 0;
  save_checkpoint();
  raise<CollapseError>(
      "step {}: {}, beyond the limit {} for {} updates; a checkpoint is saved. The limits are set by moe.alarm",
      run_.step, events[0].in_words(), events[0].limit, config_.moe.alarm.updates);
}

// Returns the signal that ended it early, or 0.
int Trainer::show_sample() {
  int signal = 0;
  const std::optional<GeneratedText> sample = task_->generate(*state_, run_.step, stop_between_parts(signal));
  if (signal || !sample || !is_first()) return signal;
  bar_.clear();
  log::info("[sample] step {} | {} >>> {}", run_.step, sample->prompt, sample->text);
  records_->write(metric_keys::kSample, run_.step, {{"text", sample->text}});
  return 0;
}

void Trainer::remove_old_checkpoints() const {
  lock_->require_folder();
  folder_.checkpoints().prune(config_.checkpoint.keep_last, config_.checkpoint.keep_best);
}

void Trainer::save_checkpoint() {
  const CheckpointFolder& checkpoints = folder_.checkpoints();
  if (saved_ == run_.step) return;
  const auto start = Clock::now();
  if (is_first()) {
    lock_->require_folder();
    if (const auto notice = space_notice(folder_.path(), checkpoint_bytes_)) log::warn("{}", *notice);
  }
  std::vector<CheckpointFile> files{{"config.yaml", write_yaml(config_, false)},
                                    {tasks().at(config_.task).file, json_text(task_->description(), 2) + "\n"}};
  if (curriculum_->has_store()) {
    files.emplace_back(Curriculum::kFile, [&](const FileSink& sink) { curriculum_->write(sink); });
  }
  run_.capacity = capacity_state(*state_->model);
  run_.alarm = alarm_->state(*state_->model);
  run_.experts = lifecycle_.save();
  run_.placement = placement_.save(*state_->model, groups_);
  checkpoints.save(run_, state_->parameters, *state_->optimizer, groups_, files,
                   {kMemoryFile, memory_tensors(state_->memory, state_setup().rows().begin)},
                   [&] { lock_->require_folder(); });
  saved_ = run_.step;
  last_save_ = Clock::now();
  stop_.took_checkpoint(seconds_since(start));
  if (!is_first()) return;
  checkpoint_bytes_ = folder_bytes(checkpoints.path(run_.step));
  remove_old_checkpoints();
  records_->write(metric_keys::kCheckpoint, run_.step, {{"seconds", seconds_since(start)}});
}

}  // namespace moe
