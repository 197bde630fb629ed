// moe-few-shot: how well linear classifiers do on the frozen features of trained models, from a few labelled samples.
#include <algorithm>
#include <iostream>

#include "apps/command_line.h"
#include "comm/peer_watch.h"
#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/initialise/frozen_model.h"
#include "core/inspect/few_shot_report.h"
#include "core/reload/load_run.h"
#include "core/step/cpu_setup.h"

using namespace moe;

namespace {

struct Options {
  std::vector<std::string> runs;
  std::string device = "auto", precision = "run";
  FrozenOptions frozen{.sequences = 32};
  FewShotOptions few;
  int64_t tokens = 0;
  int threads = 0;
  bool json = false;

  void add_to(CommandLine& app) {
    app.add_option("runs", runs, "folders of runs or of checkpoints; the first configuration is the baseline")
        .required();
    app.add_option("--checkpoint", frozen.which, "checkpoint of each run: last, best or a step").capture_default_str();
    app.add_option("--data", frozen.data,
                   "folder of labelled samples; default: those that a classifier was trained on");
    app.add_option("--set", frozen.settings,
                   "key=value for the samples, for example data.labelled.classes=[5,6,7,8,9]; may be repeated")
        .allow_extra_args(false);
    app.add_option("--pooling", frozen.pooling,
                   "how a sample's tokens are pooled: mean, last, class_token; default: as a classifier was trained, "
                   "mean for a language model");
    app.add_option("--labels", few.labels, "numbers of labelled samples per class: a list like 1,5,10").delimiter(',');
    app.add_option("--draws", few.draws, "draws of the labelled samples").capture_default_str().between(1, 100000);
    app.add_option("--seed", few.seed, "seed of the draws").capture_default_str();
    app.add_option(
           "--ridge", few.ridges,
           "penalties to choose from on the validation split, relative to the features' mean squared norm: a list; "
           "default: 0.0001,0.001,0.01,0.1,1,10")
        .delimiter(',');
    app.add_option("--samples", tokens, "leading samples of each split; default: all").not_negative();
    app.add_option("--batch", frozen.sequences, "samples per forward pass; affects only the speed")
        .capture_default_str()
        .positive();
    app.add_option("--expert-parallel", frozen.expert_parallel,
                   "number of ranks that share the experts; default: the largest possible number");
    app.add_option("--threads", threads, "threads per rank; default: cores / ranks");
    add_device_options(app, device, precision);
    app.add_flag("--json", json, "print everything, with the accuracy of each draw, as one JSON object");
  }

  // Throws UsageError.
  void check() const {
    for (const int64_t count : few.labels) {
      if (count < 1) raise<UsageError>("--labels {}: at least 1 sample per class is needed", count);
    }
    for (const double ridge : few.ridges) {
      if (!(ridge > 0)) raise<UsageError>("--ridge {}: a penalty is a positive number", ridge);
    }
  }
};

}  // namespace

// The features of a training split, of which only those of the samples that are drawn are computed; the others are 0.
static SampleFeatures drawn_features(const Options& options, const FrozenModel& model, const EvaluationSet& train) {
  std::vector<int32_t> labels = sample_labels(train);
  const std::vector<int64_t> drawn = all_drawn(labels, model.task->shape().classes, options.few);
  const SampleFeatures some =
      sample_features(*model.state, model.groups, SampleSubset(train, drawn), options.frozen.sequences);
  SampleFeatures all{some.width, std::vector<float>(labels.size() * as_index(some.width)), std::move(labels)};
  for (size_t i = 0; i < drawn.size(); ++i)
    std::copy_n(some.rows.begin() + static_cast<int64_t>(i) * some.width, some.width,
                all.rows.begin() + drawn[i] * some.width);
  return all;
}

static FewShotRun evaluate_one(const Options& options, const std::string& folder, MpiSession& session) {
  FrozenOptions frozen = options.frozen;
  frozen.run = folder;
  const DeviceChoice device =
      choose_device_for(folder, frozen.which, options.device, options.precision, session.local());
  const FrozenModel model = load_frozen(frozen, device, session.world());
  const Task& task = *model.task;
  const auto set = [&](const std::string& split) { return task.evaluation_set(split, {.tokens = options.tokens}); };
  const auto features = [&](const std::string& split) {
    return sample_features(*model.state, model.groups, *set(split), frozen.sequences);
  };
  if (session.world()->rank() == 0) log::info("{} (step {}) | {}", model.checkpoint, model.step, task.summary());
  if (!task.has_split("validation")) {
    raise<UsageError>(
        "{} has no validation split, on which the penalty is chosen; --set data.labelled.validation=N "
        "takes N samples from the training files",
        task.data_name());
  }
  FewShotRun run = few_shot_run(folder);
  run.checkpoint = model.checkpoint;
  run.results = few_shot(drawn_features(options, model, *set("train")), features("validation"), features("test"),
                         task.shape().classes, options.few);
  return run;
}

static int run_few_shot(int argc, char** argv, MpiSession& session) {
  CommandLine app(
      "Few-shot transfer: for each run, ridge regression on the frozen model's features of a few labelled samples per "
      "class. mpirun shares the work among ranks.");
  Options options;
  options.add_to(app);
  if (const auto code = parse_command_line(app, argc, argv, session)) return *code;
  options.check();
  setup_cpu(options.threads, false, session.local());
  const PeerWatch peers(*session.world());
  std::vector<FewShotRun> runs;
  for (const std::string& folder : options.runs) runs.push_back(evaluate_one(options, folder, session));
  if (session.world()->rank() != 0) return 0;
  std::cout << (options.json ? json_text_replacing(few_shot_json(runs)) + "\n" : few_shot_text(runs)) << std::flush;
  return 0;
}

int main(int argc, char** argv) {
  return run_program(argc, argv, [&](MpiSession& session) { return run_few_shot(argc, argv, session); });
}
