#include <filesystem>
#include <map>
#include <sstream>

#include "core/base/json_text.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("the peak resident size is within 1.3 times the planned memory", "[slow]") {
  const Finished result = run_child(program("moe-bench") + Arguments{"step", "-c", MOE_CONFIGS "/bench/cpu_small.yaml",
                                                                     "--steps", "1", "--warmup", "1"});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto json = parse_json(result.out);
  INFO(result.out);
  CHECK(json.at("peak_bytes").get<double>() < 1.3 * json.at("planned_bytes").get<double>());
  CHECK(json.at("peak_bytes").get<double>() > 0.5 * json.at("planned_bytes").get<double>());
}

TEST_CASE("a step is measured without the data that its configuration names") {
  const Finished result = run_child(
      program("moe-bench") + Arguments{"step", "-c", MOE_CONFIGS "/quickstart.yaml", "--steps", "1", "--warmup", "1"} +
      settings({"data.path=/absent", "data.sequence=16", "data.vocab_size=50", "model.layers=1", "model.d_model=16",
                "model.attention.heads=2", "moe.experts=2", "moe.d_ff=16", "train.batch=2", "parallel.threads=1"}));
  INFO(result.err);
  CHECK(result.code == 0);
}

TEST_CASE("the communication between ranks is measured, and needs more than one") {
  const Arguments command = program("moe-bench") + Arguments{"communication", "--most", "65536", "--seconds", "0.001"};
  const Finished alone = run_child(command);
  CHECK(alone.code == 2);
  CHECK_THAT(alone.err, Catch::Contains("mpirun -n 2"));
  const Finished result = run_child(mpirun(2) + command);
  INFO(result.err);
  REQUIRE(result.code == 0);
  std::map<std::string, int> lines;
  Json network;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) {
    const Json json = parse_json(line);
    if (json.contains("network")) {
      network = json.at("network");
    } else {
      ++lines[json.at("collective").get<std::string>()];
      CHECK(json.at("seconds").get<double>() > 0);
    }
  }
  CHECK(lines == std::map<std::string, int>{{"pair", 4}, {"all_to_all", 4}, {"all_reduce", 4}});
  CHECK(network.at("inside").at("latency").get<double>() >= 0);
  CHECK(network.at("inside").contains("bytes_per_second"));
}

TEST_CASE("a step of two threads counts their regions and what lies outside of them") {
  const Finished result =
      run_child(program("moe-bench") +
                Arguments{"step", "-c", MOE_CONFIGS "/bench/cpu_small.yaml", "--steps", "1", "--warmup", "1"} +
                settings({"model.layers=1", "train.batch=2", "parallel.threads=2", "precision=bf16"}));
  REQUIRE(result.code == 0);
  const auto json = parse_json(result.out);
  INFO(result.out);
  CHECK(json.at("precision") == "f32, products in bf16");
  CHECK(json.at("regions").get<double>() > 10);
  CHECK(json.at("barriers").get<double>() >= json.at("regions").get<double>());
  CHECK(json.at("serial_ms").get<double>() > 0);
  CHECK(json.at("planned_ms_32").get<double>() > json.at("serial_ms").get<double>());
}

TEST_CASE("sizes that are negative or that nothing can hold are errors of the command line") {
  TemporaryFolder folder;
  const auto refuses = [](const Arguments& command) {
    const Finished result = run_child(command);
    CAPTURE(command, result.err);
    CHECK(result.code == 2);
  };
  for (const char* option : {"--samples", "--batch", "--steps", "--seen"}) {
    for (const char* value : {"-1", "99999999999999999999", "nan"})
      refuses(program("moe-bench") + Arguments{"curriculum", option, value});
  }
  for (const char* option : {"--steps", "--warmup", "--vocab"}) {
    refuses(program("moe-bench") + Arguments{"step", "-c", MOE_CONFIGS "/bench/cpu_small.yaml", option, "-5"});
  }
  for (const char* option : {"--shrink", "--seconds"}) {
    for (const char* value : {"-1", "0", "nan", "inf"}) refuses(program("moe-bench") + Arguments{"ops", option, value});
  }
  for (const char* option :
       {"--states", "--order", "--concentration", "--train-tokens", "--validation-tokens", "--test-tokens"}) {
    for (const char* value : {"-1", "9999999999999999", "nan"})
      refuses(program("moe-data") + Arguments{"synthetic", "-o", folder / "corpus", option, value});
  }
  CHECK_FALSE(std::filesystem::exists(folder / "corpus"));
}
