// state.json of a checkpoint, and the marker of the best one.
#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 2);
  const std::string folder = scratch_folder() + "/step_00000007";
  std::filesystem::create_directories(folder);
  scratch_file("step_00000007/state.json", files[0]);
  scratch_file("step_00000007/COMPLETE", "");
  scratch_file("BEST", files[1]);
  CheckpointFolder(scratch_folder()).best();
  const RunState state = load_run_state(folder);
  require(state.optimizer_states.size() <= input.size(), "there are as many states as were listed");
}

static std::vector<std::string> seeds() {
  const std::string state =
      R"({"format": 1, "step": 7, "tokens": 448.0, "total_updates": 30, "tokens_per_update": 64.0,
"updates_per_epoch": 312.5, "best_step": 5, "evaluations_since_best": 0, "unlogged_loss": 0.0, "unlogged_steps": 0,
"step_finished": true, "alarm": {"updates": [0, 1], "factors": [1.0]}, "capacity": [[1, 2.5], null], "experts": [[4, 4]],
"identity": {"data": "0123456789abcdef", "vocabulary": 256}, "optimizer_states": ["first_moment", "second_moment"],
"lifecycle_records": 2, "unmeasured_change": {"cause": "alarm", "records": [{"loss_before": 2.5}]},
"best_loss": 2.5, "best_figure": 91.5, "file_bytes": {"state.json": 12}})";
  return {joined({state, "7\n"}), joined({"{}", "99999999999999999999"})};
}

static const FuzzTarget target{"run_state", read_input, seeds};

}  // namespace moe
