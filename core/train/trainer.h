// The training loop.
#pragma once
#include <memory>

#include "comm/mpi_session.h"
#include "core/initialise/initialise_run.h"
#include "core/lifecycle/expert_lifecycle.h"
#include "core/record/metrics.h"
#include "core/record/run_folder.h"
#include "core/step/cpu_setup.h"
#include "core/step/device_choice.h"
#include "core/step/scheduled_quantities.h"
#include "core/step/train_step.h"
#include "core/train/best_evaluation.h"
#include "core/train/collapse_alarm.h"
#include "core/train/progress_bar.h"
#include "core/train/signal_guard.h"
#include "core/train/training_batches.h"

namespace moe {

class Trainer {
 public:
  // Opens the data, and builds or resumes the run. Collective. Throws the errors of the components.
  Trainer(const TrainConfig& config, std::shared_ptr<Communicator> world, const CpuSetup& cpu, const DeviceChoice& device,
          ResumeMode resume);

  // Trains to the end of the run and returns the exit code: done, or that of the signal that ended it. Throws
  // DivergedError.
  ExitCode run();

 private:
  bool is_due(const Duration& every, int64_t step) const;
  StateSetup state_setup() const;
  void build_state(bool initialise);
  void resume_from(int64_t step);
  void open_files(bool resumed);
  // Applies an event of moe.lifecycle before the next update.
  void change_experts(const ExpertChange& change);
  std::optional<double> probe_loss();
  void describe() const;
  void log_summary(const ModelSummary& summary) const;
  void write_manifest(const ModelSummary& summary) const;
  std::string progress_text(const StepOutcome& outcome) const;
  void log_step(const StepOutcome& outcome);
  void run_evaluation();
  void show_sample();
  void heed_alarm();
  bool out_of_patience() const;
  void finish_step();
  void save_checkpoint();
  bool is_first() const { return groups_.world->rank() == 0; }

  TrainConfig config_;        // as configured by the user
  TrainConfig state_config_;  // with the current numbers of experts (moe.lifecycle)
  ProcessGroups groups_;
  const CpuSetup cpu_;
  DeviceChoice device_;
  std::unique_ptr<Task> task_;
  RunLength length_;
  ExpertLifecycle lifecycle_;
  std::unique_ptr<Curriculum> curriculum_;
  std::optional<TrainingBatches> batches_;
  std::optional<Scheduled> learning_rate_;
  std::optional<ScheduledQuantities> scheduled_;
  MemoryPlan plan_;
  std::unique_ptr<TrainingState> state_;
  std::unique_ptr<CollapseAlarm> alarm_;
  std::optional<TrainStep> train_step_;
  RunInitialisation initialisation_;  // for a new run
  RunFolder folder_;
  RunState run_;
  std::optional<int64_t> saved_;  // the step of the last checkpoint
  BestEvaluation best_;
  std::unique_ptr<MetricsFile> metrics_;  // only on rank 0
  ProgressBar bar_;
  SignalGuard signals_;

  // Time and steps since the last record, in this process.
  double seconds_ = 0;
  int64_t steps_ = 0;
};

}  // namespace moe
