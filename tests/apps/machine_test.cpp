// Programs in what a machine gives them: masks and control groups.
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <system_error>

#include "core/machine/cgroup.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

// A control group of the test's own; `exists` is false where the test may not make one.
class ControlGroup {
 public:
  ControlGroup() {
    const std::string name = "/moe_test_" + std::to_string(getpid());
    for (const char* hierarchy : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"}) {
      if (!std::filesystem::exists(hierarchy + std::string("/cgroup.procs"))) continue;
      std::error_code error;
      if (!std::filesystem::create_directory(hierarchy + name, error) || error) continue;
      folder_ = hierarchy + name;
      return;
    }
  }
  ControlGroup(const ControlGroup&) = delete;
  ~ControlGroup() {
    if (!folder_.empty()) rmdir(folder_.c_str());
  }
  bool set_quota(int microseconds) const {
    if (folder_.empty()) return false;
    if (std::filesystem::exists(folder_ + "/cpu.max"))
      return write("cpu.max", std::to_string(microseconds) + " 100000");
    return write("cpu.cfs_quota_us", std::to_string(microseconds));
  }
  bool enter() const { return write("cgroup.procs", std::to_string(getpid())); }

 private:
  bool write(const std::string& file, const std::string& text) const {
    std::ofstream out(folder_ + "/" + file);
    out << text << std::flush;
    return static_cast<bool>(out);
  }
  std::string folder_;
};

// moe-train with the default number of threads.
Arguments train(const std::string& folder, const Arguments& more = {}) {
  return tiny_train(folder, Arguments{"parallel.threads=0", "train.steps=1"} + more);
}

int allowed_cpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

// Other tests run with one OpenMP thread; here the programs choose.
void free_threads() {
  unsetenv("OMP_NUM_THREADS");
}

void bind_to_first_cpu() {
  free_threads();
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return;
  for (int cpu = 0, found = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &mask)) continue;
    if (found++ > 0) CPU_CLR(cpu, &mask);
  }
  sched_setaffinity(0, sizeof mask, &mask);
}

// A quota of this machine's own would decide the number of threads.
bool has_quota() {
  if (!read_cgroup_limits(SystemFiles()).cores) return false;
  WARN("not tested: a CPU quota is in force here");
  return true;
}

}  // namespace

TEST_CASE("a mask is respected, also that of mpirun") {
  if (has_quota()) return;
  for (const Arguments& launcher : {Arguments{}, Arguments{MPIRUN, "-n", "1"}}) {
    const TemporaryFolder folder;
    const Finished finished = run_child(launcher + train(folder.path()), bind_to_first_cpu);
    INFO(finished.err);
    REQUIRE(finished.code == 0);
    CHECK_THAT(finished.err, Catch::Contains("1 rank x 1 thread (1 core)"));
  }
}

TEST_CASE("a rank that mpirun bound to one core by default uses the others") {
  if (has_quota()) return;
  const int cpus = allowed_cpus();
  const TemporaryFolder folder;
  const Finished finished =
      run_child(Arguments{MPIRUN, "-n", "1"} + train(folder.path(), {"parallel.hardware_threads=true"}), free_threads);
  CHECK_THAT(finished.err, Catch::Contains(cpus == 1 ? "1 rank x 1 thread"
                                                     : fmt::format("1 rank x {} threads ({} hardware", cpus, cpus)));
  const Finished asked = run_child(Arguments{MPIRUN, "--bind-to", "hwthread", "-n", "1"} +
                                       train(folder / "asked", {"parallel.hardware_threads=true"}),
                                   free_threads);
  CHECK_THAT(asked.err, Catch::Contains("1 rank x 1 thread (1 hardware thread)"));
}

TEST_CASE("a quota gives the number of threads, and threads beyond it a notice") {
  if (has_quota()) return;
  const ControlGroup group;
  if (!group.set_quota(50000)) {
    WARN("not tested: no control group can be made here");
    return;
  }
  const auto enter = [&] {
    free_threads();
    group.enter();
  };
  const TemporaryFolder folder;
  const Finished finished = run_child(train(folder.path()), enter);
  INFO(finished.err);
  REQUIRE(finished.code == 0);
  CHECK_THAT(finished.err, Catch::Contains("x 1 thread (a CPU quota of 0.5 cores)"));
  const Finished script = run_child({"/bin/bash", "-c", ". '" MOE_SCRIPTS "/common.sh' && cores"}, enter);
  CHECK(script.out == "1\n");
  const Finished wished = run_child(train(folder / "wished", {"parallel.threads=3"}), enter);
  REQUIRE(wished.code == 0);
  CHECK_THAT(wished.err, Catch::Contains("3 threads on each of 1 rank(s) share a CPU quota of 0.5 cores"));
}

TEST_CASE("more memory than there is gets a warning from --dry-run") {
  const TemporaryFolder folder;
  const Finished finished =
      done(tiny_train(folder.path(), {"model.d_model=65536", "model.layers=200"}) + Arguments{"--dry-run"});
  CHECK_THAT(finished.out, Catch::Contains("the kernel would end a process by signal 9"));
}
