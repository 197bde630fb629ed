// A whole run folder as a comparison reads it, and manifest.json as the next session of the run does.
#include <filesystem>

#include "core/base/json_text.h"
#include "core/inspect/compared_run.h"
#include "core/record/run_folder.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const auto files = parts(input, 3);
  std::filesystem::create_directories(scratch_folder() + "/run");
  scratch_file("run/config.yaml", files[0]);
  scratch_file("run/manifest.json", files[1]);
  scratch_file("run/metrics.jsonl", files[2]);
  read_compared_run(scratch_folder(), "run", ComparedAt::last);
  TrainConfig config;
  config.folder = scratch_folder();
  config.name = "run";
  RunFolder(config).write_manifest({{"a", 1}}, {{"from", 5}});
  require(parse_json(file_content(scratch_folder() + "/run/manifest.json")).at("sessions").size() > 0,
          "the manifest has the new session");
}

static std::vector<std::string> seeds() {
  const std::string config = "name: run-seed1\nseed: 1\nmodel: {layers: 2, d_model: 16}\nmoe: {experts: 4}\n";
  const std::string manifest =
      R"({"program": {"version": "0.2.0", "commit": "abc"}, "data": {"hash": "0123"}, "parameters": 100,
"active_parameters": 50, "flops_per_token": 1e6, "sessions": [{"from": 0, "host": "h", "ranks": 1}, {"from": 9}]})";
  const std::string metrics =
      R"({"schema":2,"type":"train","step":1,"loss":2.7,"ms":1.5,"router_entropy":1.0}
{"schema":2,"type":"evaluation","step":5,"loss":2.5,"bpc":3.6,"split":"validation","load":[[0.1,0.9]]}
)";
  return {joined({config, manifest, metrics}), joined({"", "{\"sessions\": 3}", ""})};
}

static const FuzzTarget target{"run_folder", read_input, seeds};

}  // namespace moe
