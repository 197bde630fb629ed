#include "core/convert/approximation.h"

#include "comm/self_communicator.h"
#include "core/convert/from_hf.h"
#include "core/checkpoint/scratch_folder.h"
#include "core/reload/load_run.h"

namespace moe {

namespace {

constexpr int64_t kSequences = 8;

LoadedRun load(const std::string& path) {
  return load_run(path, "last", std::make_shared<SelfCommunicator>(), 0, kSequences, choose_device("cpu", "f32", {}));
}

}  // namespace

Gap measure_gap(const std::string& checkpoint, const std::string& exported, const std::string& data, int64_t tokens) {
  Gap gap;
  LoadedRun trained = load(checkpoint);
  const std::unique_ptr<Task> task = trained.open_task(data);
  EvaluationOptions options;
  options.sequences = kSequences;
  options.tokens = tokens;
  const std::string split = task->has_split("validation") ? "validation" : "train";
  const auto set = task->evaluation_set(split, options);
  const Evaluation before = evaluate(*trained.state, trained.groups, *set, kSequences);
  gap.trained = before.nll();
  gap.tokens = before.tokens;
  gap.data = task->data_name() + ", " + split;
  trained.state.reset();                // one model in memory at a time
  const ScratchFolder again(exported);  // beside it, where a model has room
  from_hf(exported, again.path(), {.sequence = trained.config.data.sequence});
  LoadedRun run = load(again.path());
  gap.exported = evaluate(*run.state, run.groups, *set, kSequences).nll();
  return gap;
}

}  // namespace moe
