// Configurations as YAML: read, checked and planned like a run with --dry-run.
#include "comm/self_communicator.h"
#include "core/config/config_writer.h"
#include "core/train/dry_run.h"
#include "tests/fuzz/configuration.h"

namespace moe {

static void read_input(std::string_view input) {
  const ConfigNode root = parse_config(std::string(input), "fuzz.yaml");
  TrainConfig config;
  read_config(root, config);
  use_few_tokens(config);
  if (!is_small(config)) return;
  describe_dry_run(config, RankCounts::on_one_host(2), 1);
}

// A configuration with every key, and one with many families.
static std::vector<std::string> seeds() {
  TrainConfig config;
  return {write_yaml(config, false), R"(name: a
model: {layers: 2, d_model: 16, attention: {heads: 2, causal: true}, dropout: 0.1}
moe:
  experts: 4
  d_ff: 16
  router: {kind: topk, k: 2}
  strategy: {kind: plain}
  capacity: 1.25
  balance: [switch, {kind: z, coefficient: {kind: linear, from: 0.1, to: 0}}]
  lifecycle: [{kind: grow, at: 10, factor: 2}, {kind: prune, at: 50%, count: 4}]
  layers: [{at: 0-1, router: hash}]
train: {steps: 100, batch: 4, learning_rate: {kind: cosine, from: 3e-3, to: 1e-4, warmup: 5%}, clip_norm: 1}
optimizer: {kind: sgd, momentum: 0.9}
curriculum: {sampler: buckets, signals: {loss: 1}}
evaluate: {every: 25%, tokens: 500}
)",
          "train: &a {steps: 3}\nevaluate:\n  <<: *a\n  every: 2\n",
          "name: !!binary aGVsbG8=\nfolder: \"\\u00e9\\x41\"\n"};
}

static const FuzzTarget target{"config_dry_run", read_input, seeds};

}  // namespace moe
