// How the programs compute: precision and instruction set.
#include "core/base/json_text.h"
#include "core/machine/instruction_set.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

static Arguments with(const std::string& variable, const Arguments& arguments) {
  return Arguments{"/usr/bin/env", variable} + arguments;
}

static Json manifest_of(const TemporaryFolder& folder) {
  return parse_json_or_null(read_file(folder.path() + "/run/manifest.json"));
}

static std::string evaluated(const TemporaryFolder& folder, const Arguments& options) {
  return done(program("moe-eval") + Arguments{folder.path() + "/run", "--split", "validation"} + options).out;
}

TEST_CASE("a run with products in bf16 says so, is evaluated in bf16, and may go on in f32") {
  const TemporaryFolder folder;
  const Arguments bf16{"precision=bf16", "train.steps=10", "train.learning_rate=0.003"};
  const Finished first = done(tiny_train(folder.path(), bf16));
  CHECK(first.err.find("f32, products in bf16") != std::string::npos);
  CHECK(manifest_of(folder).at("precision") == "f32, products in bf16");

  const std::string own = evaluated(folder, {});
  CHECK(own == evaluated(folder, {"--precision", "bf16"}));
  CHECK(own != evaluated(folder, {"--precision", "f32"}));
  CHECK(own == evaluated(folder, {"--batch", "3"}));

  const Finished next =
      done(tiny_train(folder.path(), {"precision=f32", "train.steps=20", "train.learning_rate=0.003"}));
  CHECK(next.err.find("this run goes on with another precision: f32, before f32, products in bf16") !=
        std::string::npos);
}

TEST_CASE("a run of products in bf16 is the same for any number of threads, and resumes to the same bits") {
  // Products large enough to be cut into pieces.
  const Arguments bf16{"precision=bf16",   "train.steps=10", "train.learning_rate=0.003",
                       "model.d_model=64", "moe.d_ff=256",   "train.batch=16"};
  std::vector<std::string> results;
  for (const char* threads : {"1", "2", "8", "16"}) {
    const TemporaryFolder folder;
    done(tiny_train(folder.path(), bf16 + Arguments{fmt::format("parallel.threads={}", threads)}));
    results.push_back(evaluated(folder, {}));
    CHECK(results.back() == results.front());
  }
  const TemporaryFolder folder;
  done(tiny_train(folder.path(), bf16 + Arguments{"train.steps=5"}));
  done(tiny_train(folder.path(), bf16));
  CHECK(evaluated(folder, {}) == results[0]);
}

TEST_CASE("MOE_CPU_ISA names the instruction set, and one that is not there ends with 2") {
  const Finished unknown =
      run_child(with("MOE_CPU_ISA=mmx", program("moe-train") + Arguments{"--dry-run", "--set", "seed=1"}));
  CHECK(unknown.code == 2);
  CHECK(unknown.err.find("unknown MOE_CPU_ISA 'mmx'; known: portable, avx2") != std::string::npos);

  if (widest_instruction_set() < InstructionSet::avx512) {
    WARN("this processor has one instruction set only: no run was continued with another");
    return;
  }
  const TemporaryFolder folder;
  const Arguments shorter = tiny_train(folder.path(), {"train.steps=5", "train.learning_rate=0.003"});
  const Arguments longer = tiny_train(folder.path(), {"train.steps=10", "train.learning_rate=0.003"});
  done(with("MOE_CPU_ISA=avx512", shorter));
  CHECK(manifest_of(folder).at("instruction_set") == "avx512");
  const Finished other = done(with("MOE_CPU_ISA=avx2", longer));
  CHECK(other.err.find("this run goes on with another instruction_set: avx2, before avx512") != std::string::npos);
}
