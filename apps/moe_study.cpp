// moe-study: trains many runs and compares them. scripts/compare and others call it.
#include <cstdio>

#include "core/base/command_line.h"
#include "core/base/failure.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "core/study/compare_study.h"
#include "core/study/ladder_study.h"
#include "core/study/plan_study.h"
#include "core/study/search_study.h"
#include "core/study/tune_study.h"

using namespace moe;

namespace {

struct Request {
  CompareOptions runs;  // what all subcommands have
  std::vector<std::string> files;
  SearchOptions search;
  LadderOptions ladder;
  TuneOptions tune;
  std::string sizes_file;
  std::vector<std::string> sizes;
  std::string at = "last";
  double plan = 0;  // difference; 0: train
  bool no_wait = false;
  int code = 0;
};

}  // namespace

// Options that all subcommands have.
static void add_run_options(CommandLine& app, Request& r) {
  CompareOptions& o = r.runs;
  app.add_option("-n,--ranks", o.ranks, "train under mpirun with this number of ranks")
      .capture_default_str()
      .between(1, 1 << 20);
  app.add_option("-o", o.folder, "output folder; the same command continues what is in it");
  app.add_option("-s", o.seeds, "seeds, as in -s \"1 2 3\"");
  app.add_option("-b", o.base, "configuration below all others; may be repeated").allow_extra_args(false);
  app.add_option("--set", o.settings, "key=value, above all configurations; may be repeated").allow_extra_args(false);
  app.add_flag("-q", o.quiet, "trainings print only warnings");
  app.add_flag("--no-wait", r.no_wait, "end when other processes train all that is left, instead of waiting for them");
}

// As they were given, with the configurations.
static CompareOptions runs_of(const Request& r) {
  CompareOptions options = r.runs;
  options.waits = !r.no_wait;
  for (const std::string& file : r.files) options.configs.push_back(StudyConfig::of_file(file));
  return options;
}

static void add_size_options(CommandLine& c, Request& r) {
  c.add_option("--sizes", r.sizes_file, "file of sizes and their rule, such as configs/compare/sizes/width.yaml");
  c.add_option("--size", r.sizes, "NAME:key=value,key=value; may be repeated").allow_extra_args(false);
}

static std::vector<ModelSize> sizes_of(const Request& r) {
  std::vector<ModelSize> sizes;
  if (!r.sizes_file.empty()) sizes = read_sizes(r.sizes_file);
  for (const std::string& text : r.sizes) sizes.push_back(parse_size(text));
  return sizes;
}

static void add_cost_options(CommandLine& c, CompareOptions& o) {
  c.add_option("--equal", o.equal,
               "tokens: all configurations train for the same number of updates. flops: for the same number of "
               "operations (--dry-run). seconds: for the same time, by step times that are measured in turns. The "
               "baseline keeps its steps; those of the others are fixed before the first run, in DIR/study.json. "
               "Default: as DIR has it, or tokens")
      .one_of({"tokens", "flops", "seconds"});
  c.add_option("--costs", o.costs,
               "also train the baseline at these multiples of its steps, each with its whole schedule, as in --costs "
               "\"0.5 2\": DIR/costs/2/A-seedN. A speedup is measured by them");
}

static void add_compare(CommandLine& app, Request& r) {
  CommandLine c = app.add_subcommand("compare", "train configurations with the same seeds and compare them");
  c.footer(
      "Each run uses BASE, then the configuration A.yaml, then the settings; it is written to DIR/A-seedN. The first "
      "configuration ever used in DIR is the baseline. When called again, it skips finished runs, resumes interrupted "
      "ones and adds new seeds and configurations. Several processes, also of several machines that share DIR, may "
      "train one comparison: each takes whole seeds. Results: printed, DIR/compare.html and DIR/compare.json. "
      "docs/comparing.md explains them.");
  CompareOptions& o = r.runs;
  add_run_options(c, r);
  c.add_option("--noise", o.copies,
               "also train this number of copies of the first configuration with the first seed, whose initial values "
               "differ by rounding errors: their scatter is what no comparison can see below")
      .between(0, 99);
  add_cost_options(c, o);
  c.add_option(
      "--tuned", o.tuned,
      "folder of scripts/tune: the comparison then says which configurations were not tuned, or whose best value "
      "was at the edge of its sweep. DIR keeps a copy");
  c.add_option("configs", r.files, "configurations");
  c.add_option(
       "--plan", r.plan,
       "train nothing, and print how many seeds are needed to see a difference of this size with a probability of "
       "80 %, from the scatter of the runs in DIR, and how long they take")
      .between_numbers(1e-12, 1e12);
  c.callback([&r] { r.code = r.plan > 0 ? run_plan(runs_of(r), r.plan) : run_compare(runs_of(r)).code; });
}

static void add_ladder(CommandLine& app, Request& r) {
  CommandLine c = app.add_subcommand("ladder", "compare configurations at several sizes, the cheapest first");
  c.footer(
      "DIR/NAME is a comparison of the size NAME, whose settings lie over BASE and below the configurations. Every "
      "size has the same number of tokens per active parameter of the first configuration, unless --fixed-steps is "
      "given. "
      "Ends with moe-inspect ladder DIR. docs/comparing.md explains it.");
  add_run_options(c, r);
  add_cost_options(c, r.runs);
  LadderOptions& o = r.ladder;
  add_size_options(c, r);
  c.add_option("--tokens-per-parameter", o.tokens_per_parameter,
               "tokens per active parameter; default: those of the smallest size with its configured steps")
      .between_numbers(1e-6, 1e9);
  c.add_flag("--fixed-steps", o.fixed_steps, "train every size for the configured number of steps")
      .excludes("--tokens-per-parameter");
  c.add_option("configs", r.files, "configurations; the first is the baseline");
  c.callback([&r] {
    r.ladder.compare = runs_of(r);
    r.ladder.sizes = sizes_of(r);
    r.code = run_ladder(r.ladder);
  });
}

static void add_search(CommandLine& app, Request& r) {
  CommandLine c = app.add_subcommand("search", "search over combinations of values by successive halving");
  c.footer(
      "Every combination of the values is a candidate. Round 1 trains all of them for STEPS, with the same seeds and "
      "so "
      "on the same tokens. The best 1 of --keep is in the next round, which is --keep times as long and starts from "
      "scratch: each round has the same cost, and every schedule its full length. It ends when one candidate is left "
      "or "
      "after --rounds. When called again, it skips finished trainings and resumes interrupted ones. In DIR: round-N "
      "with "
      "compare.html (quality against FLOPs of active parameters, curves, intervals) and compare.json; "
      "candidates/NAME.yaml; and search.txt, the printed table: each candidate's last round, its quality there, FLOPs "
      "and parameters.");
  add_run_options(c, r);
  SearchOptions& o = r.search;
  c.add_option("-t", o.steps, "length of the first round: 500, 2Mt, 1e");
  c.add_option("--keep", o.keep, "the best 1 of this number is in the next round").capture_default_str().between(2, 9);
  c.add_option("--rounds", o.rounds, "largest number of rounds").capture_default_str().between(1, 1000);
  c.add_option("--at", r.at, "evaluation by which candidates are ranked")
      .capture_default_str()
      .one_of({"last", "best"});
  c.add_option("grid", o.grid, "keys and their values, as in 'moe.router.k=1|2|4'");
  c.callback([&r] {
    r.search.compare = runs_of(r);
    r.search.at = r.at == "best" ? ComparedAt::best : ComparedAt::last;
    r.code = run_search(r.search);
  });
}

static void add_tune(CommandLine& app, Request& r) {
  CommandLine c = app.add_subcommand("tune", "find the best value of a key for each configuration, and its rule");
  c.footer(
      "Tries every value with every configuration at the two cheapest sizes, takes the minimum of a parabola over the "
      "value's logarithm, fits value ~ width^-p, and tries the predicted value, its half and its double at the third "
      "size. Prints the optima and writes DIR/tune.json, which scripts/compare --tuned DIR reads. "
      "docs/comparing.md explains it.");
  add_run_options(c, r);
  add_size_options(c, r);
  c.add_option("--sweep", r.tune.sweeps,
               "key and values, each positive, as in 'train.learning_rate.from=1e-3|2e-3|4e-3'; may be repeated: keys "
               "are tried one by one. Default: this key from 2.5e-4 to 1.6e-2 in factors of 2")
      .allow_extra_args(false);
  c.add_option("configs", r.files, "configurations to tune");
  c.callback([&r] {
    r.tune.compare = runs_of(r);
    r.tune.sizes = sizes_of(r);
    if (r.tune.sweeps.empty()) r.tune.sweeps = {"train.learning_rate.from=2.5e-4|5e-4|1e-3|2e-3|4e-3|8e-3|1.6e-2"};
    r.code = run_tune(r.tune);
  });
}

int main(int argc, char** argv) {
  log::initialise(0, 1);
  log::quiet_console();  // what is logged of a configuration is not the result; trainings are programs of their own
  CommandLine app("Trains many runs and compares them: docs/comparing.md.", "moe-study");
  app.require_subcommand();
  Request r;
  add_compare(app, r);
  add_search(app, r);
  add_ladder(app, r);
  add_tune(app, r);
  try {
    app.parse_or_throw(argc, argv);
    check_output();
    return r.code;
  } catch (...) {
    const Failure failure = current_failure();
    std::fprintf(stderr, "Error: %s\n", shown(failure.message).c_str());
    return static_cast<int>(failure.code);
  }
}
