// Hand-made runs, for tests of comparisons: in memory, and as folders.
#pragma once
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/inspect/comparison.h"

namespace moe {

inline ComparedRun sample_run(const std::string& config, int64_t seed, double bits, double milliseconds = 10) {
  ComparedRun run;
  run.name = config + "-seed" + std::to_string(seed);
  run.config = config;
  run.seed = seed;
  run.terms = {{"training data", "aa"},     {"vocabulary", "27"},       {"tokens per update", "64"},
               {"sequence length", "16"},   {"updates", "20"},          {"validation data", "bb"},
               {"evaluated tokens", "499"}, {"evaluation stride", "16"}};
  run.configuration =
      parse_config("seed: " + std::to_string(seed) + "\nmoe: {router: {kind: " + config + "}}\n", "test");
  run.machine = "host, 1 x 1 threads, avx2";
  run.program = "p";
  run.tokens_per_update = 64;
  run.step = 20;
  run.quality = bits;
  run.milliseconds = milliseconds;
  run.parameters = 2e6;
  run.active_parameters = 5e5;
  run.flops_per_token = 3.5e6;
  run.max_over_mean = 1.5;
  run.dead = 1;
  run.router_entropy = 0.75;
  run.measures = {{"topk_overlap", bits / 10}};
  for (const int64_t step : {0, 10, 20}) {
    const double here = bits + static_cast<double>(20 - step) / 10;
    run.history.evaluations.push_back({step, here, here});
    TrainPoint p;
    p.step = step;
    p.quality = here;
    if (step > 0) run.history.train.push_back(p);
  }
  return run;
}

// Two configurations and three seeds: b is better by 0.01, 0.02 and 0.03, and slower by a fifth.
inline std::vector<ComparedRun> sample_runs() {
  return {sample_run("a", 1, 2.00),     sample_run("a", 2, 2.10),     sample_run("a", 3, 2.05),
          sample_run("b", 1, 1.99, 12), sample_run("b", 2, 2.08, 12), sample_run("b", 3, 2.02, 12)};
}

inline const ComparedRun& run_called(const Comparison& c, std::string_view name) {
  for (const ComparedRun& run : c.runs) {
    if (run.name == name) return run;
  }
  throw std::runtime_error("no run " + std::string(name));
}

// The files that moe-train writes for a run of 20 updates; a test can change every text.
struct SampleFolder {
  std::string manifest =
      R"({"seed": 1, "updates": 20, "sequence": 16, "tokens_per_update": 64.0, "data": {"data": "aa", "vocab": 27},
          "parameters": 100, "active_parameters": 60, "flops_per_token": 1000.0,
          "sessions": [{"from": 0, "updates": 20, "host": "h", "ranks": 1, "threads_per_rank": 2,
                        "instruction_set": "avx2", "program_hash": "p"}]})";
  std::string config = "seed: 1\nmoe: {experts: 4}\n";
  std::string metrics =
      R"({"type":"eval","step":0,"loss":3,"bpc":4,"tokens":499,"stride":16,"data":"bb","load":[[0.5,0.25,0.25,0]]}
{"type":"train","step":10,"loss":2.5,"bpc":3.5,"ms":30,"router_entropy":1.3862943611198906,"measures":{"topk_overlap":0.5}}
{"type":"eval","step":10,"loss":1,"bpc":1.5,"tokens":499,"stride":16,"data":"bb","load":[[0.25,0.25,0.25,0.25]]}
{"type":"train","step":15,"loss":2.5,"bpc":3.5,"ms":10,"router_entropy":1.3862943611198906}
{"type":"train","step":20,"loss":2,"bpc":3,"ms":20,"router_entropy":0.6931471805599453,"measures":{"topk_overlap":0.25}}
{"type":"eval","step":20,"loss":2,"bpc":2.5,"tokens":499,"stride":16,"data":"bb","load":[[0.5,0.5,0,0],[0.4,0.2,0.2,0.2]]}
)";

  void write(const std::string& folder, const std::string& name) const {
    const std::string path = folder + "/" + name;
    std::filesystem::create_directories(path);
    if (!manifest.empty()) std::ofstream(path + "/manifest.json") << manifest;
    std::ofstream(path + "/config.yaml") << config;
    std::ofstream(path + "/metrics.jsonl") << metrics;
  }
};

// `text` with the first occurrence of `from` replaced.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("no '" + from + "' to replace");
  return text.replace(at, from.size(), to);
}

}  // namespace moe
