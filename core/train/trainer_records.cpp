// What a trainer writes of its run: records, lines of the console and routing traces.
#include <utility>

#include "core/base/log.h"
#include "core/base/metric_keys.h"
#include "core/checkpoint/files.h"
#include "core/train/trainer.h"
#include "data/content_hash.h"

namespace moe {

// For comparisons, in which a run that diverged counts.
void Trainer::record_divergence(int64_t step) {
  if (is_first()) records_->write(metric_keys::kDiverged, step, {});
}

// The mean losses of a mixture's corpora since the last record, and their shares of the samples.
Json Trainer::sources_record() const {
  Json json;
  double all = 0;
  for (const auto& [loss, samples] : run_.unlogged_sources) all += samples;
  for (size_t i = 0; i < run_.unlogged_sources.size(); ++i) {
    const auto& [loss, samples] = run_.unlogged_sources[i];
    if (samples == 0) continue;
    json[task_->sources()[i].name] = {{"loss", loss / samples}, {"share", samples / all}};
  }
  return json;
}

void Trainer::log_step(const StepOutcome& outcome) {
  TrainRecord record;
  record.step = run_.step;
  record.total_steps = end_;
  record.tokens = run_.tokens;
  record.loss = run_.unlogged_loss / static_cast<double>(run_.unlogged_steps);
  record.figures = task_->training_figures(record.loss, outcome);
  record.last = outcome;
  record.milliseconds = seconds_ * 1e3 / static_cast<double>(steps_);
  record.tokens_per_second = length_.tokens_per_update * static_cast<double>(steps_) / seconds_;
  record.seconds_left = static_cast<double>(end_ - run_.step) * seconds_ / static_cast<double>(steps_);
  record.curriculum = curriculum_->record();
  record.scheduled = scheduled_->at(run_.step - 1);
  record.sources = sources_record();
  run_.unlogged_sources.clear();
  curriculum_->clear();
  run_.unlogged_loss = seconds_ = 0;
  run_.unlogged_steps = steps_ = 0;
  if (!is_first()) return;
  bar_.clear();
  log::info("{}", console_line(record, *state_->model));
  records_->write(metric_keys::kTrain, run_.step, to_json(record, *state_->model));
}

// Records what the latest update sent, if it was recorded; the timeline of the process's first and last such update.
void Trainer::log_communication() {
  if (!traffic_ || !traffic_->is_on()) return;
  const TrafficProfile profile = traffic_->finish_step(*groups_.world);
  const bool first = traffic_totals_.empty(),
             last = run_.step + to_whole_updates(config_.log.communication, length_) > end_;
  traffic_totals_.add(profile);
  if (!is_first()) return;
  records_->write(metric_keys::kCommunication, run_.step, to_json(profile));
  if (first || last) records_->write(metric_keys::kTimeline, run_.step, timeline_json(profile, groups_.world->rank()));
}

// Whether the update after which there are `step`, or the evaluation there, is traced.
bool Trainer::traces(const char* of, int64_t step) const {
  return config_.trace.of == of && (of == kSplit ? config_.trace.every.amount > 0 : is_due(config_.trace.every, step));
}

void Trainer::write_trace(const char* of, TraceFacts facts, const RoutingTracer::LoadSamples& load) {
  facts.step = run_.step;
  facts.of = of;
  facts.seed = config_.data_seed();
  if (is_first()) {
    lock_->require_folder();
    make_folder(trace_folder(folder_.path(), of));
  }
  tracer_.write(*state_->model, *groups_.world, std::move(facts), load, trace_path(folder_.path(), of, run_.step));
}

// Writes the routing of the latest update, if it was recorded.
void Trainer::trace_update() {
  if (!traces(kTraining, run_.step)) return;
  write_trace(
      kTraining,
      {.data = format_hash(task_->content_hash("train")), .samples = config_.train.batch, .sequence = batches_->time()},
      [&](int64_t samples, Batch& batch) { batches_->load_first(samples, batch); });
}

void Trainer::trace_evaluation(const EvaluationOptions& options) {
  const auto set = task_->evaluation_set(kSplit, options);
  Batch one;
  set->load(0, 1, one);
  write_trace(
      kSplit,
      {.data = format_hash(task_->content_hash(kSplit)), .samples = set->num_sequences(), .sequence = one.length},
      [&](int64_t samples, Batch& batch) { set->load(0, samples, batch); });
}

void Trainer::write_change(const std::vector<Json>& records, const std::string& cause) {
  if (cause.empty()) run_.lifecycle_records += std::ssize(records);
  if (!is_first()) return;
  for (Json record : records) {
    if (!cause.empty()) record[metric_keys::kCause] = cause;
    records_->write(metric_keys::kLifecycle, run_.step, std::move(record));
  }
}

// For rank 0.
void Trainer::record_evaluation(const Evaluation& result, const BestEvaluation::Verdict& verdict, double seconds) {
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
  record["seconds"] = seconds;
  add_parts(record, result);
  add_loads(record, *state_->model);
  records_->write(metric_keys::kEvaluation, run_.step, record);
}

}  // namespace moe
