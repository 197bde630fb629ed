#include "core/machine/kill_watch.h"

#include <condition_variable>
#include <mutex>
#include <string>

#include "core/machine/cgroup.h"
#include "tests/machine/made_up_system.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE(
    "processes that the kernel ended for want of memory are counted in groups of both versions, or by the machine") {
  MadeUpSystem system;
  CHECK_FALSE(memory_kills(system.files(), memory_groups(system.files())));
  system.write("/proc/vmstat", "pgfault 12\noom_kill 7\noom_kill_other 9\n");
  CHECK(memory_kills(system.files(), memory_groups(system.files())) == 7);
  SECTION("version 2") {
    system.write("/proc/self/mountinfo", kV2Mounts);
    system.write("/proc/self/cgroup", "0::/job/step\n");
    CHECK(memory_kills(system.files(), memory_groups(system.files())) == 7);
    system.write("/sys/fs/cgroup/job/step/memory.events", "low 0\noom 4\noom_kill 1\noom_group_kill 9\n");
    CHECK(memory_kills(system.files(), memory_groups(system.files())) == 1);
    system.write("/sys/fs/cgroup/job/memory.events", "oom_kill 3\n");  // two in a sibling
    CHECK(memory_kills(system.files(), memory_groups(system.files())) == 3);
  }
  SECTION("version 1") {
    system.write("/proc/self/mountinfo", kV1Mounts);
    system.write("/proc/self/cgroup", "9:memory:/job\n8:cpu,cpuacct:/other\n0::/\n");
    system.write("/sys/fs/cgroup/memory/job/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    CHECK(memory_kills(system.files(), memory_groups(system.files())) == 2);
    system.write("/sys/fs/cgroup/memory/job/memory.oom_control", "oom_kill_disable 0\n");  // before Linux 4.13
    CHECK(memory_kills(system.files(), memory_groups(system.files())) == 7);
  }
}

TEST_CASE("the end of a process for want of memory is reported once, with the reason") {
  MadeUpSystem system;
  system.write("/proc/vmstat", "oom_kill 7\n");
  std::mutex mutex;
  std::condition_variable changed;
  std::string reported;
  int calls = 0;
  const auto note = [&](const std::string& message) {
    const std::lock_guard lock(mutex);
    reported = message, ++calls;
    changed.notify_all();
  };
  { const KillWatch quiet(system.files(), note); }
  CHECK(calls == 0);  // earlier ones are not of this job
  const KillWatch watch(system.files(), note);
  system.write("/proc/vmstat", "oom_kill 8\n");
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return calls > 0; });
  CHECK_THAT(reported, Catch::Contains("ended a process on this host because memory ran out"));
  CHECK_THAT(reported, Catch::Contains("signal 9"));
}

TEST_CASE("nothing is watched where the kernel does not count") {
  MadeUpSystem system;
  const KillWatch watch(system.files(), [](const std::string&) { FAIL("a report"); });
}
