// metrics.jsonl: the reader of reports, and the run that goes on writing it.
#include "core/record/metrics.h"
#include "core/inspect/run_history.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const std::string path = scratch_file("metrics.jsonl", input);
  const RunHistory history = read_history(path);
  require(history.train.size() + history.evaluations.size() <= input.size(), "a line makes one point");
  { MetricsFile metrics(path, ResumedRecords{.step = 5, .step_finished = false}); }
  const RunHistory kept = read_history(path);
  require(kept.damaged_lines == 0, "damaged lines are dropped");
  require(kept.train.empty() || kept.train.back().step <= 5, "records after the step are dropped");
}

static std::vector<std::string> seeds() {
  return {
      R"({"schema":2,"type":"train","step":1,"tokens":64,"loss":2.7,"bpc":3.9,"aux":1.0,"norm":1.1,"lr":0.003,"ms":1.5,"tokens_per_second":100,"load":[[0.2,0.3,0.5]],"dead":0,"dropped":0.1,"balance":{"switch":1.0},"curriculum":{"open":0.5,"drawn":{"a":1},"difficulty":{"loss":[1,2,3]}},"scheduled":{"train.learning_rate":0.003}}
{"schema":2,"type":"evaluation","step":5,"loss":2.5,"bpc":3.6,"split":"validation","data":"0123","load":[[0.1,0.9]]}
{"schema":2,"type":"lifecycle","step":5,"kind":"grow","layer":0,"experts_before":4,"experts_after":8,"what":"w","why":"","preserved":true}
{"schema":2,"type":"sample","step":5,"text":"abc"}
{"schema":2,"type":"stopped","step":6}
)",
      "{\"type\":\"train\",\"step\":1,\"router_entropy\":[1.0,2.0]}\n\n{\"type\":1}\n{torn"};
}

static const FuzzTarget target{"metrics", read_input, seeds};

}  // namespace moe
