// scripts/gpu_first, with programs in place of ours and of NVIDIA's.
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

namespace {

void write_program(const std::string& path, const std::string& text) {
  std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
  ::chmod(path.c_str(), 0755);
}

// A machine with an H200, whose programs print what ours print.
class Machine {
 public:
  Machine() {
    std::filesystem::create_directory(folder_ / "tools");
    tool("nvidia-smi", "echo 'NVIDIA H200, 580.00, 143771 MiB, 9.0, 345 MHz'");
    tool("compute-sanitizer",
         "echo \"$*\" >>" + (folder_ / "sanitizer.log") + "\necho 'ERROR SUMMARY: 1 error'; exit 9");
    tool("ncu", "echo profile");
    tool("python3",
         "case $* in -c*) exit 0; esac\n"
         "echo '{\"bench\": \"op\", \"op\": \"grouped_forward\", \"shape\": \"E8\", \"who\": \"torch\", \"us\": 30.0, "
         "\"tflops\": 300.0}'");
    tool("moe-bench",
         "case $1 in step) echo '{\"bench\":\"step\",\"name\":\"x\",\"ms\":200.5,\"tokens_per_s\":327680.9}'; exit; "
         "esac\n"
         "echo "
         "'{\"bench\":\"op\",\"op\":\"grouped_forward\",\"shape\":\"E8\",\"who\":\"moe-train\",\"us\":20,\"tflops\":"
         "450}'");
    passes("test_ops_cuda");
    passes("test_step_cuda");
  }

  void tool(const std::string& name, const std::string& text) { write_program(folder_ / ("tools/" + name), text); }
  void passes(const std::string& name) { tool(name, "echo 'All tests passed (9 assertions in 3 test cases)'"); }
  // Grouped products fail, as Catch reports it.
  void has_wrong_products() {
    const std::string dashes = "echo -------------------------------------------------------------------------------\n";
    tool("test_ops_cuda",
         "case $* in *'cpu]grouped product*'*|*'many tiles'*) ;; *) echo 'All tests passed'; exit; esac\n" + dashes +
             "echo 'grouped products, many tiles'\n" + dashes +
             "echo x.cpp:1\necho ...............\necho\necho 'x.cpp:3: FAILED:'\n"
             "echo 'test cases: 2 | 1 passed | 1 failed'; exit 1");
  }
  Finished first(
      const Arguments& arguments, const std::function<void()>& more = [] {}) const {
    return run_child(Arguments{MOE_SCRIPTS "/gpu_first"} + arguments, [this, more] {
      setenv("PATH", (folder_ / "tools:" + std::getenv("PATH")).c_str(), 1);
      setenv("MOE_PROGRAMS", (folder_ / "tools").c_str(), 1);
      setenv("MOE_FIRST_FOLDER", (folder_ / "build-first").c_str(), 1);
      more();
    });
  }
  std::string out() const { return folder_ / "out"; }
  std::string table() const { return read_file(folder_ / "out/table.txt"); }
  std::string sanitizer_calls() const { return read_file(folder_ / "sanitizer.log"); }
  void forget_results() const { std::filesystem::remove_all(folder_ / "build-first/results"); }

 private:
  TemporaryFolder folder_;
};

auto says(const std::string& text) {
  return Catch::Contains(text);
}

}  // namespace

TEST_CASE("the first minutes on a GPU give one table and one archive, and the next ones explain the speed") {
  const Machine machine;
  const Finished run = machine.first({machine.out()});
  INFO(run.err);
  CHECK(run.code == 0);
  const std::string table = machine.table();
  CHECK_THAT(table, says("true     grouped products by the kernels for this device are right (gemm)"));
  CHECK_THAT(table, says("true     whole steps of the shapes C, D and B run"));
  CHECK_THAT(table, says("true     grouped_forward is at least as fast as PyTorch; E8 1.50x"));
  CHECK_THAT(table, says("unknown  attention_forward is at least as fast as PyTorch"));
  CHECK_THAT(table, says("200.5 ms a step, 327681 tokens/s"));
  CHECK_THAT(table, says("grouped_forward 450 TFLOP/s"));
  CHECK(std::distance(std::filesystem::directory_iterator(machine.out()), {}) == 2);

  machine.forget_results();  // another machine, which has the archive alone
  CHECK(machine.first({"--second", machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("ncu_grouped") && says("step_a") && says("true     all other ops are right (ops)"));
}

TEST_CASE("a kernel that gives wrong numbers on a GPU is examined by the portable kernels and compute-sanitizer") {
  Machine machine;
  machine.has_wrong_products();
  CHECK(machine.first({machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("false    grouped products") && says("true     attention by the kernels"));
  CHECK(machine.first({"--second", machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("portable_1") && says("memcheck_1") && !says("ncu_grouped"));
  CHECK_THAT(machine.sanitizer_calls(), says("racecheck") && says("grouped products\\, many tiles*"));

  machine.passes("test_ops_cuda");  // mended
  CHECK(machine.first({"--again", machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("true     grouped products"));
}

TEST_CASE("what the time on a GPU did not suffice for is unknown, and comes first in the next command") {
  const Machine machine;
  const auto no_time = [] { setenv("MOE_FIRST_SECONDS", "0", 1); };
  CHECK(machine.first({machine.out()}, no_time).code == 0);
  CHECK_THAT(machine.table(), says("unknown  the programs start") && says("not run"));
  CHECK(machine.first({"--second", machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("true     the programs start") && says("true     attention by"));
}

TEST_CASE("kernels that hang on a GPU cost the other lines no time") {
  Machine machine;
  machine.tool("test_ops_cuda", "case $* in *'cpu]grouped product*'*) exit 124; esac\necho 'All tests passed'");
  machine.tool("test_step_cuda", "echo \"error: portable ${MOE_FORCE_SM80:-no}\"");
  CHECK(machine.first({machine.out()}).code == 0);
  CHECK_THAT(machine.table(), says("unknown  grouped products") && says("error: portable 1") &&
                                  says("its kernels hang: see gemm") && says("true     attention by the kernels"));
}

TEST_CASE("where the packed programs do not run on a machine with a GPU, they are built there") {
  Machine machine;
  machine.tool("cmake",
               "case $1 in --build) mkdir -p \"$2/bin\"; cp \"$MOE_PROGRAMS/good\" \"$2/bin/moe-bench\"\n"
               "cp \"$MOE_PROGRAMS/test_ops_cuda\" \"$2/bin/\";; esac");
  machine.tool("good", "echo '{\"bench\":\"op\",\"op\":\"copy\",\"who\":\"moe-train\",\"us\":20,\"gbps\":4000}'");
  machine.tool("moe-bench", "echo \"version 'GLIBC_2.38' not found\" >&2; exit 1");
  const Finished run = machine.first({machine.out()});
  INFO(run.err);
  CHECK_THAT(machine.table(), says("true     the programs start") && says("the packed programs did not run here") &&
                                  says("unknown  gradients of a training step") && says("true     grouped products"));
}

TEST_CASE("the first minutes on a GPU are not spent on a machine without one, or with another one") {
  Machine machine;
  machine.tool("nvidia-smi", "exit 9");
  const Finished without = machine.first({machine.out()});
  CHECK(without.code == 1);
  CHECK_THAT(without.err, says("nvidia-smi finds no GPU"));
  CHECK(machine.first({"--second", machine.out()}).code == 1);  // there are no results
  CHECK(machine.first({"--other"}).code == 2);
}
