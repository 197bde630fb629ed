#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// A short run, trained when it is first asked for.
struct TrainedRun {
  TrainedRun() {
    const Finished result =
        run_child(tiny_train(folder.path(), {"data.synthetic.validation_tokens=1999", "evaluate.tokens=0"}));
    INFO(result.err);
    REQUIRE(result.code == 0);
  }
  std::string path() const { return folder / "run"; }
  TemporaryFolder folder;
};

static Arguments eval(const std::string& run, const Arguments& more = {}) {
  return program("moe-eval") + Arguments{run} + more;
}

TEST_CASE("moe-eval prints one bare number, the same for any batch size and number of ranks") {
  const TrainedRun run;
  const Finished first = run_child(eval(run.path()));
  INFO(first.err);
  REQUIRE(first.code == 0);
  size_t used = 0;
  const double number = std::stod(first.out, &used);
  CHECK(first.out.substr(used) == "\n");
  CHECK(number > 0);
  for (const auto& [ranks, batch] :
       {std::pair{0, "1"}, {0, "3"}, {0, "8"}, {1, "8"}, {2, "1"}, {2, "3"}, {2, "8"}, {4, "3"}}) {
    INFO("batch " << batch << ", " << ranks << " ranks");
    const Finished again = run_child((ranks > 0 ? mpirun(ranks) : Arguments{}) + eval(run.path(), {"--batch", batch}));
    CHECK(again.code == 0);
    CHECK(again.out == first.out);
  }
}

TEST_CASE("moe-eval agrees with the evaluation during training") {
  const TrainedRun run;
  const nlohmann::json record = comparable_metrics(run.path()).back();
  REQUIRE(record.at("type") == "eval");
  const Finished result = run_child(eval(run.path(), {"--split", "validation", "--json"}));
  REQUIRE(result.code == 0);
  const auto json = nlohmann::json::parse(result.out);
  CHECK(json.at("nll").get<double>() == Approx(record.at("loss").get<double>()).epsilon(1e-6));
  CHECK(json.at("bpc").get<double>() == Approx(record.at("bpc").get<double>()).epsilon(1e-6));
  CHECK(json.at("ppl").get<double>() == Approx(std::exp(json.at("nll").get<double>())));
  CHECK(json.at("accuracy").get<double>() == Approx(record.at("accuracy").get<double>()));
  CHECK(json.at("tokens") == 1998);  // each but the first
  CHECK(json.at("step") == 30);
  CHECK(json.at("split") == "validation");
}

TEST_CASE("moe-eval: metrics, checkpoints and context") {
  const TrainedRun run;
  const auto value = [&](const Arguments& arguments) {
    const Finished result = run_child(eval(run.path(), arguments));
    INFO(result.err);
    REQUIRE(result.code == 0);
    return std::stod(result.out);
  };
  const double nll = value({"--metric", "nll"});
  CHECK(value({"--metric", "ppl"}) == Approx(std::exp(nll)).epsilon(1e-5));
  CHECK(value({"--metric", "bpc"}) == Approx(nll / std::log(2)).epsilon(1e-5));
  CHECK(value({"--metric", "accuracy"}) < 1);
  CHECK(value({"--metric", "nll", "--checkpoint", "25"}) != nll);
  CHECK(value({"--metric", "nll", "--stride", "4"}) < nll);  // more context
  CHECK(value({"--metric", "nll", "--context", "1"}) > 0);
}

TEST_CASE("moe-eval: what it refuses, told once") {
  const TrainedRun run;
  const auto refuses = [&](const Arguments& arguments, int code, const std::string& word) {
    for (const Arguments& launcher : {Arguments{}, mpirun(2)}) {
      const Finished result = run_child(launcher + arguments);
      INFO(join(launcher + arguments, " ") << "\n" << result.err);
      CHECK(result.code == code);
      CHECK(result.out.empty());
      const size_t at = result.err.find(word);
      REQUIRE(at != std::string::npos);
      if (code == 2) CHECK(result.err.find(word, at + 1) == std::string::npos);
    }
  };
  refuses(program("moe-eval"), 2, "run is required");
  refuses(eval(run.path(), {"--metric", "beauty"}), 2, "unknown metric");
  refuses(eval(run.path(), {"--context", "1000"}), 2, "trained on 16 tokens");
  refuses(eval(run.path(), {"--checkpoint", "7"}), 4, "25, 30");
  refuses(eval(run.folder / "absent"), 4, "absent");
  refuses(eval(run.path(), {"--data", run.folder / "absent"}), 3, "absent");
  refuses(eval(run.path(), {"--split", "dessert"}), 3, "dessert");
}

TEST_CASE("moe-eval of a damaged checkpoint ends with 4") {
  const TrainedRun run;
  const std::string checkpoint = find_checkpoint(run.path(), "last");
  for (const char* name : {"model.safetensors", "state.json", "tokenizer.json", "config.yaml"}) {
    INFO(name);
    const std::string file = checkpoint + "/" + name;
    const std::string whole = read_file(file);
    fs::resize_file(file, whole.size() / 2);
    const Finished result = run_child(eval(run.path()));
    INFO(result.err);
    CHECK(result.code == 4);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Catch::Contains(checkpoint));
    FILE* out = fopen(file.c_str(), "w");
    fwrite(whole.data(), 1, whole.size(), out);
    fclose(out);
  }
  fs::remove(checkpoint + "/COMPLETE");
  CHECK(run_child(eval(checkpoint)).code == 4);
  CHECK(run_child(eval(run.path(), {"--json"})).code == 0);  // the one before it
}

TEST_CASE("moe-eval says whether a model is causal, and finds out by trial") {
  for (const auto& [router, causality] :
       {std::pair{"topk", "causal"}, {"expert_choice", "sequence"}, {"{kind: expert_choice, group: batch}", "batch"}}) {
    INFO(router);
    const TemporaryFolder folder;
    const Finished trained =
        run_child(tiny_train(folder.path(), {"train.steps=5", fmt::format("moe.router={}", router)}));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    const Finished result =
        run_child(eval(folder / "run", {"--split", "validation", "--tokens", "500", "--json", "--probe-causality"}));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const auto json = nlohmann::json::parse(result.out);
    CHECK(json.at("causality") == causality);
    CHECK(json.at("measured_causality") == causality);
    CHECK((result.err.find("not causal") == std::string::npos) == (std::string(causality) == "causal"));
    const Finished plain = run_child(eval(folder / "run", {"--split", "validation", "--tokens", "500", "--json"}));
    CHECK_FALSE(nlohmann::json::parse(plain.out).contains("measured_causality"));
  }
}
