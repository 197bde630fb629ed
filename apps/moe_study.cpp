// moe-study: trains many runs and compares them. scripts/compare and others call it.
#include <cstdio>

#include "core/base/command_line.h"
#include "core/base/failure.h"
#include "core/base/log.h"
#include "core/base/output.h"
#include "core/base/text.h"
#include "core/study/compare_study.h"

using namespace moe;

// Options that all subcommands have.
static void add_run_options(CommandLine& app, CompareOptions& o) {
  app.add_option("-n,--ranks", o.ranks, "train under mpirun with this number of ranks")
      .capture_default_str()
      .between(1, 1 << 20);
  app.add_option("-o", o.folder, "output folder; the same command continues what is in it");
  app.add_option("-s", o.seeds, "seeds, as in -s \"1 2 3\"");
  app.add_option("-b", o.base, "configuration below all others; may be repeated").allow_extra_args(false);
  app.add_option("--set", o.settings, "key=value, above all configurations; may be repeated").allow_extra_args(false);
  app.add_flag("-q", o.quiet, "trainings print only warnings");
}

static void add_no_wait(CommandLine& app, bool& ends) {
  app.add_flag("--no-wait", ends, "end when other processes train all that is left, instead of waiting for them");
}

namespace {

struct Request {
  CompareOptions compare;
  bool no_wait = false;
  int code = 0;
};

}  // namespace

static void add_compare(CommandLine& app, Request& r) {
  CommandLine c = app.add_subcommand("compare", "train configurations with the same seeds and compare them");
  c.footer(
      "Each run uses BASE, then the configuration A.yaml, then the settings; it is written to DIR/A-seedN. The first "
      "configuration ever used in DIR is the baseline. When called again, it skips finished runs, resumes interrupted "
      "ones and adds new seeds and configurations. Several processes, also of several machines that share DIR, may "
      "train one comparison: each takes whole seeds. Results: printed, DIR/compare.html and DIR/compare.json. "
      "docs/comparing.md explains them.");
  CompareOptions& o = r.compare;
  add_run_options(c, o);
  c.add_option("--noise", o.copies,
               "also train this number of copies of the first configuration with the first seed, whose initial values "
               "differ by rounding errors: their scatter is what no comparison can see below")
      .between(0, 99);
  c.add_option("--equal", o.equal,
               "tokens: all configurations train for the same number of updates. flops: for the same number of "
               "operations (--dry-run). seconds: for the same time, by step times that are measured in turns. The "
               "baseline keeps its steps; those of the others are fixed before the first run, in DIR/study.json. "
               "Default: as DIR has it, or tokens")
      .one_of({"tokens", "flops", "seconds"});
  c.add_option("--costs", o.costs,
               "also train the baseline at these multiples of its steps, each with its whole schedule, as in --costs "
               "\"0.5 2\": DIR/costs/2/A-seedN. A speedup is measured by them");
  add_no_wait(c, r.no_wait);
  c.add_option("configs", o.configs, "configurations");
  c.callback([&r] {
    r.compare.waits = !r.no_wait;
    r.code = run_compare(r.compare);
  });
}

int main(int argc, char** argv) {
  log::initialise(0, 1);
  log::quiet_console();  // what is logged of a configuration is not the result; trainings are programs of their own
  CommandLine app("Trains many runs and compares them: docs/comparing.md.", "moe-study");
  app.require_subcommand();
  Request r;
  add_compare(app, r);
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
