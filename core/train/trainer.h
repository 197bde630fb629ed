// The training loop.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/mpi_session.h"
#include "core/base/progress_bar.h"
#include "core/initialise/initialise_run.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/lifecycle/expert_placement.h"
#include "core/record/routing_tracer.h"
#include "core/record/run_folder.h"
#include "core/record/run_lock.h"
#include "core/record/run_records.h"
#include "core/step/cpu_setup.h"
#include "core/step/device_choice.h"
#include "core/step/scheduled_quantities.h"
#include "core/step/traffic_record.h"
#include "core/step/train_step.h"
#include "core/train/best_evaluation.h"
#include "core/train/collapse_alarm.h"
#include "core/train/stop_request.h"
#include "core/train/training_batches.h"

namespace moe {

// How a run goes on from its folder's checkpoints.
struct ResumeOptions {
  ResumeMode mode = ResumeMode::automatic;
  std::vector<std::string> changed;  // keys that may have other values than in the checkpoint (--change)
};

class Trainer {
 public:
  // Opens the data, locks the run's folder, and builds or resumes the run. Collective. Throws the errors of the
  // components.
  Trainer(const TrainConfig& config, std::shared_ptr<Communicator> world, const CpuSetup& cpu,
          const DeviceChoice& device, ResumeOptions resume);

  // Trains to the end of the run and returns the exit code: done, or that of the signal that ended it. Throws
  // DivergedError.
  ExitCode run();

 private:
  static constexpr const char* kSplit = "validation";   // that is evaluated
  static constexpr const char* kTraining = "training";  // for trace.of, beside kSplit

  // ---- from the folder to the first update (trainer_setup.cpp)
  // A checkpoint that was passed over because it is damaged.
  struct Damaged {
    int64_t step;
    std::string reason;
  };
  StateSetup state_setup() const;
  void build_state(bool initialise);
  std::vector<int64_t> find_steps() const;
  bool resume_from_newest(const std::vector<int64_t>& steps);
  std::string read_state(int64_t step);
  void prepare(bool starts);
  void change_data(const Json& identity, const std::string& path);
  void change_batch(int64_t before);
  std::string read_tensors(int64_t step);
  [[noreturn]] void refuse_damaged(const std::vector<int64_t>& steps);
  void open_files(bool resumed);
  void settle_checkpoints();
  void describe();
  void log_summary(const ModelSummary& summary) const;
  void say_what_changed(const Json& manifest) const;
  void write_manifest(const ModelSummary& summary) const;

  // Whether the run has not been trained for more updates than it is to have. The end of a finished run may still be
  // due.
  bool has_work() const { return run_.step <= end_; }

  // ---- the loop (trainer.cpp)
  bool is_due(const Duration& every, int64_t step) const;
  bool checkpoint_is_due() const;
  std::function<bool()> stop_between_parts(int& signal);
  // Applies an event of moe.lifecycle, or of the alarm, before the next update.
  int change_experts(const ExpertChange& change, const char* cause = "");
  int apply_lifecycle();
  int finish_change();
  void place_experts();
  std::optional<double> probe_loss(const std::function<bool()>& stop);
  ExitCode train();
  StepOutcome make_update();
  void observe_sources();
  Json sources_record() const;
  std::string progress_text(const StepOutcome& outcome) const;
  int run_evaluation();
  int show_sample();
  int heed_alarm();
  bool out_of_patience() const;
  int finish_step();
  ExitCode end_interrupted(int signal);
  void save_checkpoint();
  void remove_old_checkpoints() const;  // rank 0

  // ---- what it writes (trainer_records.cpp)
  void log_step(const StepOutcome& outcome);
  void log_communication();
  void record_divergence(int64_t step);
  void write_change(const std::vector<Json>& records, const std::string& cause);
  void record_evaluation(const Evaluation& result, const BestEvaluation::Verdict& verdict, double seconds);
  bool traces(const char* of, int64_t step) const;
  void write_trace(const char* of, TraceFacts facts, const RoutingTracer::LoadSamples& load);
  void trace_update();
  void trace_evaluation(const EvaluationOptions& options);

  bool is_first() const { return groups_.world->rank() == 0; }

  TrainConfig config_;        // as configured by the user
  TrainConfig state_config_;  // with the current numbers of experts (moe.lifecycle)
  ResumeOptions resume_;
  std::shared_ptr<TrafficRecorder> traffic_;  // with log.communication
  ProcessGroups groups_;
  const CpuSetup cpu_;
  DeviceChoice device_;
  RunFolder folder_;
  std::unique_ptr<Task> task_;
  RunLength length_;  // to which schedules refer
  int64_t end_;       // number of updates after which the run ends
  ExpertLifecycle lifecycle_;
  ExpertPlacement placement_;
  std::unique_ptr<Curriculum> curriculum_;
  std::optional<TrainingBatches> batches_;
  std::optional<Scheduled> learning_rate_;
  std::optional<ScheduledQuantities> scheduled_;
  MemoryPlan plan_;
  std::unique_ptr<TrainingState> state_;
  std::unique_ptr<CollapseAlarm> alarm_;
  std::optional<TrainStep> train_step_;
  RunInitialisation initialisation_;  // for a new run
  std::unique_ptr<RunLock> lock_;     // only on rank 0
  RunState run_;
  std::vector<Damaged> damaged_;           // newest first
  std::vector<ConfigDifference> changes_;  // made by --change
  std::optional<int64_t> saved_;           // the step of the last checkpoint
  BestEvaluation best_;
  std::unique_ptr<RunRecords> records_;  // only on rank 0
  ProgressBar bar_;
  StopRequest stop_;

  RoutingTracer tracer_;
  TrafficTotals traffic_totals_;  // of this process
  // Time and steps since the last record, in this process.
  double seconds_ = 0;
  int64_t steps_ = 0;
  std::chrono::steady_clock::time_point last_save_;  // or the start
  double checkpoint_bytes_ = 0;                      // of the last one, or expected
};

}  // namespace moe
