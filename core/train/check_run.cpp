#include "core/train/check_run.h"

#include <algorithm>
#include <vector>

#include "core/config/field_walker.h"
#include "core/initialise/initialise_run.h"
#include "core/lifecycle/lifecycle_plan.h"
#include "core/schedule/scheduled.h"
#include "core/train/check_replay.h"
#include "core/train/difficulty_source.h"
#include "data/curriculum/curriculum.h"

namespace moe {
namespace {

// Checks that every schedule stays within its field's range during the whole run.
void check_schedules(const RunFacts& f) {
  class Visitor : public FieldWalker {
   public:
    explicit Visitor(const RunLength& run) : run_(run) {}

   private:
    void schedule(const char*, ScheduleField& value, const char*) override { value.make(run_); }
    const RunLength run_;
  };
  TrainConfig config = f.config;
  Visitor(f.length).enter("", config);
}

void check_ranks(const RunFacts& f) {
  expert_parallel_size(f.ranks, f.config.parallel.expert, smallest_experts(f.config.model, f.config.moe));
}

// Builds the model without allocating its memory: each member of a family checks its options.
void check_layers(const RunFacts& f) {
  summarise(f.config, f.task.shape(), f.length);
}

void check_task(const RunFacts& f) {
  f.task.check(f.config);
}

void check_curriculum(const RunFacts& f) {
  Curriculum::check({.config = f.config.curriculum,
                     .samples = f.task.num_samples(),
                     .batch = f.config.train.batch,
                     .seed = static_cast<uint64_t>(f.config.data_seed()),
                     .run = f.length,
                     .data = f.task.samples()},
                    f.starts ? find_difficulties(f.config.curriculum) : "");
}

void check_lifecycle(const RunFacts& f) {
  check_lifecycle_plan(f.config, f.task.shape(), f.length, f.task.num_samples(), f.ranks);
}

void check_alarm(const RunFacts& f) {
  const AlarmConfig& alarm = f.config.moe.alarm;
  if (alarm.action != "restart") return;
  const std::string why = fixed_experts(f.config, f.task.shape(), f.length).places;
  if (!why.empty()) raise<UsageError>("{}: restart cannot move experts of {}", alarm.where("action"), why);
}

void check_trace(const RunFacts& f) {
  const TraceConfig& trace = f.config.trace;
  if (trace.every.amount == 0) return;
  const std::vector<bool> blocks = f.config.model.moe_layers();
  if (std::find(blocks.begin(), blocks.end(), true) == blocks.end())
    raise<UsageError>("{}: no block is MoE, so there is no routing to trace; set it to 0", trace.where("every"));
  if (trace.of == "validation" && !f.task.has_split("validation")) {
    raise<UsageError>("{}: the data have no validation split; use training, or data with that split",
                      trace.where("of"));
  }
}

void check_replays(const RunFacts& f) {
  check_replay(f.config, f.task, f.length);
}

void check_start(const RunFacts& f) {
  if (!f.starts) return;
  check_initialisation(f.config, f.task, f.length);
  const CurriculumConfig& curriculum = f.config.curriculum;
  if (needs_given_store(curriculum) && curriculum.from.empty()) {
    raise<UsageError>("{}: {} needs difficulty scores; set curriculum.from to a run or file that has them",
                      curriculum.where("sampler"), curriculum.sampler.kind());
  }
}

constexpr void (*kChecks[])(const RunFacts&) = {
    check_schedules, check_ranks, check_layers, check_task,    check_curriculum,
    check_lifecycle, check_alarm, check_trace,  check_replays, check_start,
};

}  // namespace

void check_run(const RunFacts& facts) {
  for (const auto check : kChecks) check(facts);
}

}  // namespace moe
