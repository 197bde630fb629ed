// scripts/slurm_job, with programs in place of Slurm's that write down how they were called.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>

#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

void write_program(const std::string& path, const std::string& text) {
  std::ofstream(path) << "#!/bin/sh\n" << text;
  ::chmod(path.c_str(), 0755);
}

// A folder with srun and scontrol. `run` is what srun runs in place of the program.
struct Cluster {
  explicit Cluster(const std::string& run) {
    write_program(folder / "srun", "case $1 in --mpi=list) echo '\tpmix'; exit;; esac\necho \"$*\" >>" +
                                       (folder / "srun.log") + "\n" + run + "\n");
    write_program(folder / "scontrol", "echo \"$*\" >>" + (folder / "scontrol.log") + "\n");
  }
  std::function<void()> environment(const char* restarts) const {
    return [this, restarts] {
      setenv("PATH", (folder.path() + ":" + std::getenv("PATH")).c_str(), 1);
      setenv("SLURM_JOB_ID", "42", 1);
      setenv("SLURM_RESTART_COUNT", restarts, 1);
      setenv("MOE_TRAIN", "the-program", 1);
    };
  }
  Arguments job(const Arguments& arguments) const { return Arguments{MOE_SCRIPTS "/slurm_job"} + arguments; }
  bool was_queued_again() const { return read_file(folder / "scontrol.log") == "requeue 42\n"; }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("a Slurm job is queued again when its run is saved or a rank was lost, and not otherwise") {
  struct Case {
    int code;
    const char* restarts;
    bool again;
  };
  for (const Case& c :
       {Case{0, "0", false}, Case{143, "0", true}, Case{143, "9", true}, Case{5, "0", true}, Case{5, "2", true},
        Case{5, "3", false}, Case{137, "1", true}, Case{2, "0", false}, Case{6, "0", false}, Case{7, "0", false}}) {
    const Cluster cluster(fmt::format("exit {}", c.code));
    const Finished job = run_child(cluster.job({"-c", "a file.yaml"}), cluster.environment(c.restarts));
    INFO("code " << c.code << ", restarts " << c.restarts << ": " << job.err);
    CHECK(job.code == c.code);
    CHECK(cluster.was_queued_again() == c.again);
    CHECK(read_file(cluster.folder / "srun.log") == "--mpi=pmix --kill-on-bad-exit=1 the-program -c a file.yaml\n");
  }
}

TEST_CASE("a Slurm job passes the notice of its end on to the run, and waits until it is saved") {
  // Ends a second after the signal, as a run that saves.
  const char* run = "trap 'sleep 1; exit 143' USR1\necho started >&2\nwhile :; do sleep 0.1; done";
  for (const int number : {SIGUSR1, SIGTERM}) {
    const Cluster cluster(run);
    ChildProcess job(cluster.job({"-c", "x"}), cluster.environment("0"));
    REQUIRE(job.wait_for("started"));
    ::kill(job.pid(), number);
    const Finished finished = job.wait();
    INFO(finished.err);
    CHECK(finished.code == 143);
    CHECK(cluster.was_queued_again() == (number == SIGUSR1));  // SIGTERM: somebody cancelled it
  }
}

TEST_CASE("outside of Slurm the job script explains itself") {
  const Finished finished = run_child({MOE_SCRIPTS "/slurm_job", "-c", "x"}, [] { unsetenv("SLURM_JOB_ID"); });
  CHECK(finished.code == 2);
  CHECK_THAT(finished.err, Catch::Contains("sbatch [SBATCH OPTIONS] scripts/slurm_job"));
}
