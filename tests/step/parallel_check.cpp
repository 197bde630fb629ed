// Run under mpirun: every split of the work among the ranks gives the same as one rank. The reference is computed in
// the same process. Prints a line for each difference and exits with code 1 if there is any.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "comm/mpi_session.h"
#include "core/base/integer.h"
#include "core/config/config_reader.h"
#include "core/lifecycle/moved_experts.h"
#include "core/ops/elementwise.h"
#include "tests/step/allocation_counter.h"
#include "tests/support/made_up_hosts.h"
#include "tests/support/random_map.h"
#include "tests/support/tiny_run.h"

using namespace moe;

static constexpr int64_t kVocab = 23;
static constexpr double kTolerance = 1e-5;       // for one step, relative to a tensor's largest element
static constexpr double kCurveTolerance = 1e-4;  // for each of 20 losses, relative

static const char* kBase = R"(
model: {layers: 2, d_model: 16, d_ff: 24, attention: {heads: 4, kv_heads: 2}, init_std: 0.1}
moe: {experts: 8, d_ff: 16, balance: [{kind: switch, coefficient: 0.1}, {kind: z, coefficient: 0.01}]}
data: {sequence: 7}
train: {batch: 8}
)";

struct Case {
  const char* name;
  const char* yaml;
  bool all_to_first = false;  // router weights of 0: every token goes to the experts with the smallest indices
  bool curve = false;         // also compared over 20 steps
};
static const Case kCases[] = {
    {"plain", "{}", false, true},
    {"dropout, tied head, learned positions",
     "model: {dropout: 0.2, tie_embeddings: true, attention: {position: learned}}"},
    {"dropout in every place, glam, batch of 7, 3 micro-batches",
     "{model: {arrangement: glam, dropout: 0.1, hidden_dropout: 0.2, layer_dropout: 0.3, attention: {dropout: 0.2}}, "
     "moe: {dropout: 0.3, hidden_dropout: 0.25, router: {input_dropout: 0.3}, shared_experts: 1}, train: {batch: 7, "
     "micro_batches: 3}}",
     false, true},
    {"dropout inside experts that compete, 5 of them, batch of 7",
     "{moe: {experts: 5, hidden_dropout: 0.4, strategy: {kind: compete, probability: 1}}, train: {batch: 7}}", false,
     true},
    {"one strategy after another, the second",
     "moe: {strategy: {kind: change, at: 0, first: {kind: compete, probability: 1}, "
     "then: {kind: stochastic}}}",
     false, true},
    {"2 micro-batches, dropout", "{model: {dropout: 0.2}, train: {micro_batches: 2}}", false, true},
    {"3 micro-batches", "train: {micro_batches: 3}"},
    {"batch of 7", "train: {batch: 7}"},
    {"batch of 5, 3 micro-batches, dropout", "{model: {dropout: 0.2}, train: {batch: 5, micro_batches: 3}}", false,
     true},
    {"batch of 3: a rank without sequences", "{model: {dropout: 0.2}, train: {batch: 3}}"},
    {"batch of 1", "train: {batch: 1}"},
    {"batch of 1, 2 micro-batches", "train: {batch: 1, micro_batches: 2}"},
    {"5 experts", "moe: {experts: 5}"},
    {"7 experts, glam, shared experts", "{model: {arrangement: glam}, moe: {experts: 7, shared_experts: 1}}"},
    {"more experts than assignments", "{moe: {experts: 61}, train: {batch: 2}}"},
    {"all tokens to two experts", "{}", true},
    {"all tokens to one expert, micro-batches",
     "{moe: {router: {k: 1, softmax: all, renormalise: false}}, train: {micro_batches: 2}}", true},
    {"balance per sequence",
     "{moe: {balance: [{kind: switch, coefficient: 0.1, scope: sequence}, {kind: z, coefficient: 0.01, scope: "
     "sequence}]}, train: {batch: 7, micro_batches: 2}}"},
    {"a capacity, batch of 7", "{moe: {capacity: {kind: fixed, factor: 0.7}}, train: {batch: 7}}"},
    {"a capacity by score, 2 micro-batches, all tokens to two experts",
     "{moe: {capacity: {kind: fixed, factor: 0.7, drop: score, renormalise: true}}, train: {micro_batches: 2}}", true},
    {"capacity needed", "moe: {capacity: {kind: needed, dropped: 0.1}}", false, true},
    {"capacity complexity", "moe: {capacity: {kind: complexity, smallest: 0.5, largest: 1}}", false, true},
    {"capacity bandit", "moe: {capacity: {kind: bandit, smallest: 0.5, largest: 1, arms: 3, hold: 2}}", false, true},
    {"layers that differ, 2 micro-batches",
     "{moe: {layers: [{at: 0, router: {kind: hash, k: 2}, experts: 8, balance: [], shared_experts: 1}, {at: last, "
     "d_ff: "
     "20, strategy: contrastive, capacity: 0.9}]}, train: {micro_batches: 2}}",
     false, true},
    {"experts computed again, 5 of them, dropout inside, batch of 7",
     "{model: {recompute: experts}, moe: {experts: 5, hidden_dropout: 0.3, shared_experts: 1}, train: {batch: 7}}",
     false, true},
    {"blocks computed again, a capacity, a noisy copy, dropout, 2 micro-batches",
     "{model: {recompute: blocks, dropout: 0.2}, moe: {hidden_dropout: 0.3, strategy: stochastic, capacity: {kind: "
     "fixed, "
     "factor: 0.7}}, train: {micro_batches: 2}}",
     false, true},
    {"rows in 2 parts, shared experts, dropout, batch of 7, 3 micro-batches",
     "{parallel: {overlap: 2}, model: {dropout: 0.1, hidden_dropout: 0.2}, moe: {hidden_dropout: 0.3, shared_experts: "
     "1, "
     "shared_gate: true}, train: {batch: 7, micro_batches: 3}}",
     false, true},
    {"rows in more parts than experts, 7 of them, all tokens to two experts",
     "{parallel: {overlap: 16}, moe: {experts: 7, shared_experts: 1}}", true},
    {"rows in 3 parts, competing experts, computed again",
     "{parallel: {overlap: 3}, model: {recompute: experts}, moe: {experts: 13, shared_experts: 1, strategy: {kind: "
     "compete, probability: 1}}}",
     false, true},
    {"rows in 2 parts, a noisy copy, a capacity, blocks computed again, batch of 3",
     "{parallel: {overlap: 2}, model: {recompute: blocks}, moe: {strategy: stochastic, shared_experts: 1, capacity: "
     "{kind: fixed, factor: 0.7}}, train: {batch: 3}}"},
    {"dense", "model: {arrangement: dense}"},
    {"separate documents, balanced per sequence and rank, attention dropout, batch of 7, 3 micro-batches",
     "{data: {documents: separate}, model: {attention: {dropout: 0.2, position: learned}}, moe: {balance: [{kind: "
     "switch, coefficient: 0.1, scope: sequence}, {kind: z, scope: rank}]}, train: {batch: 7, micro_batches: 3}}",
     false, true},
    {"separate documents, a capacity, a noisy copy, batch of 3",
     "{data: {documents: separate}, moe: {strategy: stochastic, capacity: {kind: fixed, factor: 0.7}}, train: {batch: "
     "3}}"},
    {"windows that fit documents, dropout, batch of 7, 3 micro-batches",
     "{data: {documents: fit}, model: {dropout: 0.2}, train: {batch: 7, micro_batches: 3}}", false, true},
    {"windows that fit documents, competing experts, batch of 1",
     "{data: {documents: fit}, moe: {strategy: {kind: compete, probability: 1}}, train: {batch: 1}}"},
    {"labelled texts, a class token after them, a tanh head, batch of 7, 3 micro-batches",
     "{task: classify, model: {dropout: 0.2, pooling: class_token, head: tanh}, train: {batch: 7, micro_batches: 3}, "
     "data: {labelled: {format: tsv}}}",
     false, true},
    {"labelled texts, non-causal, balanced per sequence and rank, batch of 3",
     "{task: classify, model: {pooling: last, attention: {causal: false}}, moe: {capacity: {kind: fixed, factor: 0.7, "
     "group: sequence}, balance: [{kind: switch, coefficient: 0.1, scope: sequence}]}, train: {batch: 3}, "
     "data: {labelled: {format: tsv}}}"},
    {"labelled texts, a noisy copy",
     "{task: classify, moe: {strategy: stochastic}, train: {batch: 7}, "
     "data: {labelled: {format: tsv}}}",
     false, true},
    {"labelled texts chosen by experts",
     "{task: classify, moe: {router: {kind: expert_choice, group: sequence}}, train: {micro_batches: 2}, "
     "data: {labelled: {format: tsv}}}"},
    {"context memory", "{model: {attention: {memory: 10}}, curriculum: {sampler: contiguous}}", false, true},
    {"context memory with relative positions, dropout, batch of 7, 3 micro-batches",
     "{model: {dropout: 0.2, attention: {memory: 5, position: relative, dropout: 0.2}}, curriculum: {sampler: "
     "contiguous}, train: "
     "{batch: 7, micro_batches: 3}}",
     false, true},
    {"post-norm, biases, 5 experts, 2 micro-batches",
     "{model: {norm: layer, norm_place: post_twice, bias: true, arrangement: glam}, moe: {experts: 5, shared_experts: "
     "1}, "
     "train: {micro_batches: 2}}",
     false, true},
    {"parts of published models, 5 experts, batch of 7, 3 micro-batches",
     "{model: {vocab_size: 30, bias: {attention: all, router: true}, attention: {qk_norm: full, rope_scaling: "
     "linear}}, "
     "moe: {experts: 5, shared_experts: 1, shared_gate: true}, train: {batch: 7, micro_batches: 3}}",
     false, true},
    {"context memory, batch of 3",
     "{model: {attention: {memory: 9}}, curriculum: {sampler: contiguous}, train: {batch: 3}}", false, true},
    {"classifier of patches", "{task: classify, model: {attention: {causal: false, position: learned}}}"},
    {"classifier with a class token, dropout, 3 micro-batches",
     "{task: classify, model: {dropout: 0.2, pooling: class_token, attention: {causal: false}}, train: {batch: 7, "
     "micro_batches: 3, label_smoothing: 0.1}}",
     false, true},
    {"classifier of sounds, dropout, batch of 7, 2 micro-batches",
     "{task: classify, model: {dropout: 0.1, attention: {causal: false, position: learned}}, train: {batch: 7, "
     "micro_batches: 2}, data: {labelled: {format: sound_folders}}}",
     false, true},
    {"classifier with a capacity",
     "{task: classify, model: {attention: {causal: false}}, moe: {capacity: {kind: fixed, factor: 0.7}}}"},
    {"pairs, a loss per modality, batch of 7, 3 micro-batches, dropout",
     "{task: pairs, model: {dropout: 0.2, contrast: {width: 6}}, moe: {modality_bias: true, balance: [{kind: "
     "entropy_local, coefficient: 0.1, modality: second}, {kind: entropy_global, coefficient: 1, modality: first}, "
     "{kind: "
     "switch, coefficient: 0.1, modality: second, scope: sequence}]}, train: {batch: 7, micro_batches: 3}}",
     false, true},
    {"pairs, non-causal, a capacity, batch of 3: a rank without pairs",
     "{task: pairs, model: {attention: {causal: false, position: learned}}, moe: {capacity: {kind: fixed, factor: "
     "0.7}}, "
     "train: {batch: 3}}",
     false, true},
    {"pairs of images and sounds, batch of 5, 2 micro-batches",
     "{task: pairs, model: {attention: {causal: false, position: learned}}, moe: {modality_bias: true}, train: {batch: "
     "5, micro_batches: 2}, data: {labelled: {format: sound_folders}}}",
     false, true},
    {"pairs, a noisy copy", "{task: pairs, moe: {strategy: stochastic}, train: {batch: 7}}", false, true},
    {"classifier, batch of 3, expert choice",
     "{task: classify, model: {attention: {causal: false}}, moe: {router: {kind: expert_choice, group: sequence}}, "
     "train: {batch: 3}}"},
};

static int g_failures = 0;

static void report(const Communicator& world, const std::string& text) {
  ++g_failures;
  std::fprintf(stderr, "rank %d of %d: %s\n", world.rank(), world.size(), text.c_str());
}

static void compare(const Communicator& world, const std::string& what, double is, double expected, double tolerance) {
  if (!(std::abs(is - expected) <= tolerance * std::max(std::abs(expected), 1e-30))) {  // NaN fails
    report(world, fmt::format("{}: {:.9g} instead of {:.9g}", what, is, expected));
  }
}

// The placement, or with `replicas` one with copies of experts.
static TrainConfig case_config(const Case& c, const char* placement = "contiguous") {
  ConfigNode root = parse_config(kBase, "base");
  merge_config(root, parse_config(c.yaml, c.name));
  TrainConfig config;
  read_config(root, config);
  const bool replicates = placement == std::string("replicas");
  config.parallel.placement.select(replicates ? "load" : placement);
  if (replicates) config.parallel.replicas = 2;
  return config;
}

// Experts at random places, where they may be anywhere, and random copies, where there is room for them.
static void place(TinyRun& run) {
  for (MoELayer* layer : run.state.model->moe_layers()) {
    const auto seed = static_cast<uint64_t>(layer->layer() + 1);
    const ExpertMap& now = layer->expert_map();
    move_experts(run.state, run.groups, *layer, test::random_map(now.experts(), now.ranks(), seed));
    layer->replicate(test::random_replicas(layer->expert_map(), run.config.parallel.replicas, seed));
    layer->update_copies(run.state.ctx);
  }
}

static void prepare(TinyRun& run, const Case& c) {
  if (run.groups.expert->size() > 1 && run.config.parallel.placement.kind() != "contiguous") place(run);
  if (!c.all_to_first) return;
  for (const Parameter& p : run.state.parameters.parameters()) {
    if (p.name.find("router") != std::string::npos) fill_zero(run.state.ctx, p.value);
  }
}

// Compares the tensors of this rank with those of the reference, which holds all experts.
static void compare_tensors(const Communicator& world, const std::string& where,
                            const std::map<std::string, std::vector<double>>& mine,
                            const std::map<std::string, std::vector<double>>& reference, double tolerance) {
  for (const auto& [name, values] : mine) {
    const std::vector<double>& expected = reference.at(name);
    double largest = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
      const double error = std::abs(values[i] - expected[i]);
      if (!(error <= worst)) worst = error, at = i;
    }
    if (!(worst <= tolerance * largest)) {
      report(world, fmt::format("{}: {}[{}] is {:.9g} instead of {:.9g}", where, name, at, values[at], expected[at]));
    }
  }
}

static void check_step(const std::shared_ptr<Communicator>& world, const Case& c, int64_t expert_parallel,
                       const char* placement) {
  const TrainConfig config = case_config(c, placement);
  const std::string where = fmt::format("{}, {} ranks share the experts, {}", c.name, expert_parallel, placement);
  TinyRun reference(config, kVocab, ProcessGroups::single());
  TinyRun run(config, kVocab, ProcessGroups::make(world, expert_parallel, smallest_experts(config.model, config.moe)));
  prepare(reference, c);
  prepare(run, c);
  compare_tensors(*world, where + ", initial values", named_values(run), named_values(reference), 0);
  const RandomBatch batch(config, kVocab, 5);
  const StepOutcome expected = reference.accumulate(batch, 2), outcome = run.accumulate(batch, 2);
  compare(*world, where + ", loss", outcome.loss, expected.loss, kTolerance);
  compare(*world, where + ", auxiliary loss", outcome.auxiliary, expected.auxiliary, kTolerance);
  compare(*world, where + ", gradient norm", outcome.norm, expected.norm, kTolerance);
  compare(*world, where + ", tokens", outcome.tokens, expected.tokens, 0);
  const auto gradients = named_gradients(run);
  compare_tensors(*world, where + ", gradient", gradients, named_gradients(reference), kTolerance);
  for (size_t layer = 0; layer < run.state.model->moe_layers().size(); ++layer) {
    const auto counts = run.state.model->moe_layers()[layer]->load().counts,
               others = reference.state.model->moe_layers()[layer]->load().counts;
    const auto dropped = run.state.model->moe_layers()[layer]->load().dropped,
               others_dropped = reference.state.model->moe_layers()[layer]->load().dropped;
    if (!std::equal(counts.begin(), counts.end(), others.begin()) ||
        !std::equal(dropped.begin(), dropped.end(), others_dropped.begin()))
      report(*world, fmt::format("{}: the load of layer {} differs", where, layer));
  }

  // The same again in a fresh state must give identical bits.
  TinyRun again(config, kVocab,
                ProcessGroups::make(world, expert_parallel, smallest_experts(config.model, config.moe)));
  prepare(again, c);
  const StepOutcome second = again.accumulate(batch, 2);
  if (second.loss != outcome.loss || second.norm != outcome.norm || named_gradients(again) != gradients) {
    report(*world, where + ": two equal runs differ");
  }
}

static void check_allocations(const std::shared_ptr<Communicator>& world, const Case& c, int64_t expert_parallel,
                              const char* placement) {
  const TrainConfig config = case_config(c, placement);
  TinyRun run(config, kVocab, ProcessGroups::make(world, expert_parallel, smallest_experts(config.model, config.moe)));
  if (config.parallel.placement.kind() != "contiguous") place(run);
  std::vector<RandomBatch> batches;
  for (uint64_t i = 0; i < 5; ++i) batches.emplace_back(config, kVocab, 5, i);
  run.run(batches[0], 0, 3e-3);
  const int64_t allocations = allocations_during([&] {
    for (int64_t i = 1; i < 5; ++i) run.run(batches[as_index(i)], i, 3e-3);
  });
  if (allocations > 0)
    report(*world, fmt::format("{}, {} ranks share the experts, {}: {} allocations after the first step", c.name,
                               expert_parallel, placement, allocations));
}

static void check_curve(const std::shared_ptr<Communicator>& world, const Case& c, int64_t expert_parallel,
                        const char* placement = "contiguous") {
  TrainConfig config = case_config(c, placement);
  TinyRun reference(config, kVocab, ProcessGroups::single());
  TinyRun run(config, kVocab, ProcessGroups::make(world, expert_parallel, smallest_experts(config.model, config.moe)));
  TinyRun again(config, kVocab,
                ProcessGroups::make(world, expert_parallel, smallest_experts(config.model, config.moe)));
  for (TinyRun* each : {&run, &again}) {
    if (expert_parallel > 1 && config.parallel.replicas > 0) place(*each);
  }
  for (int64_t i = 0; i < 20; ++i) {
    const RandomBatch batch(config, kVocab, 5, static_cast<uint64_t>(i % 4));
    const std::string where = fmt::format("{}, {} ranks share the experts, step {}", c.name, expert_parallel, i + 1);
    const StepOutcome expected = reference.run(batch, i, 3e-3), outcome = run.run(batch, i, 3e-3);
    compare(*world, where + ", loss", outcome.loss, expected.loss, kCurveTolerance);
    if (again.run(batch, i, 3e-3).loss != outcome.loss) report(*world, where + ": two equal runs differ");
  }
  if (named_values(again) != named_values(run))
    report(*world, fmt::format("{}: two equal runs end differently", c.name));
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [](MpiSession& session) {
    const auto world = session.world();
    std::vector<TrainConfig> configs;
    for (const Case& c : kCases) configs.push_back(case_config(c));
    for (const std::string& task : missing_tasks(configs)) report(*world, "no case has " + task);
    for (const int64_t expert_parallel : {1, 2, 4}) {
      if (expert_parallel > world->size()) continue;
      for (const Case& c : kCases) check_step(world, c, expert_parallel, "contiguous");
      for (const Case& c : kCases) {
        if (expert_parallel > 1) check_step(world, c, expert_parallel, "co_activation");
        if (expert_parallel > 1) check_step(world, c, expert_parallel, "replicas");
      }
      for (const Case& c : kCases) {
        if (c.curve) check_curve(world, c, expert_parallel);
        if (c.curve && expert_parallel > 1) check_curve(world, c, expert_parallel, "replicas");
      }
      for (const Case& c : kCases) check_allocations(world, c, expert_parallel, "contiguous");
      if (expert_parallel > 1) check_allocations(world, kCases[0], expert_parallel, "co_activation");
      for (const Case& c : kCases) {
        if (expert_parallel > 1) check_allocations(world, c, expert_parallel, "replicas");
      }
      if (expert_parallel != world->size()) continue;
      // Rows in two stages, between made-up hosts of two ranks (of two ranks: of one).
      std::vector<int> hosts;
      for (int rank = 0; rank < world->size(); ++rank) hosts.push_back(rank % std::min(2, world->size()));
      const auto between_hosts = std::make_shared<test::MadeUpHosts>(world, hosts);
      for (const Case& c : kCases) check_step(between_hosts, c, expert_parallel, "contiguous");
      for (const Case& c : kCases) check_allocations(between_hosts, c, expert_parallel, "contiguous");
      if (expert_parallel > 1) check_step(between_hosts, kCases[0], expert_parallel, "co_activation");
      for (const Case& c : kCases) {
        if (expert_parallel > 1) check_step(between_hosts, c, expert_parallel, "replicas");
      }
    }
    double failures = g_failures;
    world->all_reduce_sum(as_tensor(std::span(&failures, 1)));
    if (world->rank() == 0)
      std::printf("%d cases on %d ranks, %.0f differences\n", static_cast<int>(std::size(kCases)), world->size(),
                  failures);
    return failures > 0 ? 1 : 0;
  });
}
