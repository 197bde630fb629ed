#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/checkpoint.h"
#include "data/corpus.h"
#include "data/posix_file.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// A short run, trained on first use.
struct TrainedRun {
  explicit TrainedRun(const Arguments& more = {}) {
    const Finished result = run_child(
        tiny_train(folder.path(), Arguments{"data.synthetic.validation_tokens=1999", "evaluate.tokens=0"} + more));
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

// Scheduled quantities and random draws have the values that the run's own evaluation had.
TEST_CASE("moe-eval of a checkpoint reports the run's own evaluation") {
  const std::string setting =
      GENERATE(as<std::string>(), "moe.router={kind: random}", "moe.router={kind: random_frozen}",
               "moe.router.k={kind: linear, from: 1.5, to: 4}",
               "moe.strategy={kind: change, first: plain, then: compete, at: 25}");
  const TrainedRun run({setting, "checkpoint.keep_last=9"});
  int compared = 0;
  for (const std::string& line : split(read_text_file(run.path() + "/metrics.jsonl"), '\n')) {
    if (line.empty()) continue;
    const auto record = parse_json(line);
    if (record.at("type") != "eval" || record.at("step") == 0) continue;
    const std::string step = std::to_string(record.at("step").get<int>());
    const Finished result =
        run_child(eval(run.path(), {"--checkpoint", step, "--split", "validation", "--json", "--batch", "7"}));
    INFO(setting << ", step " << step << ": " << result.err);
    REQUIRE(result.code == 0);
    CHECK(parse_json(result.out).at("nll").get<double>() == Approx(record.at("loss").get<double>()).epsilon(1e-6));
    ++compared;
  }
  CHECK(compared == 6);
}

TEST_CASE("bits per byte count exactly the bytes that the predicted tokens stand for") {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) {
    text += i % 3 == 0 ? "a  long one, extraordinarily \n" : "to be\n";
    if (i % 20 == 1) text += "once" + std::to_string(i) + " <unk>\n";  // the first is unknown to all but training
  }
  write_text_file(folder / "text", text);
  REQUIRE(run_child(program("moe-data") + Arguments{"prepare", "-i", folder / "text", "-o", folder / "corpus",
                                                    "--tokenizer", "word", "--split", "80/10/10"})
              .code == 0);
  const Finished trained =
      run_child(tiny_train(folder.path(), {"data.path=" + (folder / "corpus"), "evaluate.tokens=0"}));
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const Corpus corpus = Corpus::open(folder / "corpus");
  for (const int64_t tokens : {2, 7, 50, 0}) {
    const Finished result = run_child(eval(folder / "run", {"--json", "--tokens", std::to_string(tokens)}));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const auto json = parse_json(result.out);
    const Split& test = corpus.split("test");
    const int64_t predicted = (tokens > 0 ? tokens : test.num_tokens()) - 1;
    CHECK(json.at("tokens") == predicted);
    CHECK(json.at("raw_bytes") == *test.raw_bytes(1, predicted));
    CHECK(json.at("documents") == "joined");
    // Unknown words are spelled out: 8 bits for each byte, and 8 for an end mark.
    const UnknownText unknown = *test.unknown(1, predicted);
    CHECK((unknown.tokens > 0) == (predicted > 1));
    CHECK(json.at("unknown") == Json{{"tokens", unknown.tokens}, {"bytes", unknown.bytes}});
    const double bits = json.at("nll").get<double>() * static_cast<double>(predicted) / std::log(2.0) +
                        8 * static_cast<double>(unknown.bytes + unknown.tokens);
    CHECK(json.at("bpb").get<double>() == Approx(bits / json.at("raw_bytes").get<double>()));
    CHECK(json.at("bpc") == json.at("bpb"));
  }
}

// Runs a command in a folder.
static Finished run_in(const std::string& folder, const Arguments& command) {
  return run_child(Arguments{"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", folder} + command);
}

TEST_CASE("evaluations find a run's data from any folder, and refuse other data in its place") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "elsewhere");
  const auto prepare = [&](const std::string& text, const std::string& corpus) {
    write_text_file(folder / "text", text);
    REQUIRE(
        run_in(folder.path(), program("moe-data") + Arguments{"prepare", "-i", "text", "-o", corpus, "--force"}).code ==
        0);
  };
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "to be or not to be " + std::to_string(i) + "\n";
  prepare(text, "corpus");
  write_text_file(folder / "my.yaml", "data: {path: corpus}\n");
  // The data is found from the folder of the configuration file.
  const Finished trained =
      run_in(folder / "elsewhere",
             tiny_train(folder.path(), {"evaluate.tokens=0", "train.steps=5"}) + Arguments{"-c", "../my.yaml"});
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const Finished here = run_in(folder.path(), eval("run", {"--tokens", "200"}));
  const Finished there = run_in(folder / "elsewhere", eval("../run", {"--tokens", "200"}));
  INFO(there.err);
  CHECK(there.code == 0);
  CHECK(there.out == here.out);
  CHECK(run_in(folder / "elsewhere", program("moe-inspect") + Arguments{"../run", "--tokens", "200"}).code == 0);
  CHECK_THAT(read_text_file(folder / "run/config.yaml"),
             Catch::Contains("path: corpus\n") && Catch::Contains("/corpus\"\n"));

  prepare(text + "and more\n", "corpus");
  for (const char* name : {"moe-eval", "moe-inspect"}) {
    const Finished replaced = run_in(folder / "elsewhere", program(name) + Arguments{"../run", "--tokens", "200"});
    CHECK(replaced.code == 4);
    CHECK_THAT(replaced.err, Catch::Contains("was trained on other data"));
  }
  CHECK(run_in(folder.path(), eval("run", {"--tokens", "200", "--data", "corpus"})).code == 0);
  fs::remove_all(folder / "corpus");
  const Finished gone = run_in(folder.path(), eval("run"));
  CHECK(gone.code == 3);
  CHECK_THAT(gone.err, Catch::Contains("/corpus: no such corpus"));
  // Text in place of a corpus.
  const Finished raw = run_in(folder.path(), eval("run", {"--data", "text"}));
  CHECK(raw.code == 3);
  CHECK_THAT(raw.err, Catch::Contains("moe-data prepare --input text --output corpora/text"));
}

static double least_bpc(const std::vector<Json>& records) {
  double best = INFINITY;
  for (const Json& record : records) {
    if (record.at("type") == "eval") best = std::min(best, record.at("bpc").get<double>());
  }
  return best;
}

TEST_CASE("all metrics of a corpus without text are per token, from a folder and from memory") {
  const TemporaryFolder folder;
  REQUIRE(run_child(program("moe-data") + Arguments{"synthetic", "--output", folder / "corpus", "--states", "16",
                                                    "--train-tokens", "20000", "--validation-tokens", "2000",
                                                    "--test-tokens", "2000"})
              .code == 0);
  REQUIRE(run_child(tiny_train(folder.path())).code == 0);
  const Finished stored = run_child(tiny_train(folder.path(), {"name=stored", "data.path=" + (folder / "corpus")}));
  INFO(stored.err);
  REQUIRE(stored.code == 0);
  CHECK_THAT(stored.err, !Catch::Contains("bpc inf"));
  CHECK_THAT(stored.err, Catch::Contains("new best"));
  const auto records = comparable_metrics(folder / "stored");
  CHECK(metrics_difference(folder / "stored", folder / "run") == "");
  for (const Json& record : records) {
    if (record.contains("bpc"))
      CHECK(record["bpc"].get<double>() == Approx(record.at("loss").get<double>() / std::log(2.0)));
  }
  const Finished evaluated = run_child(eval(folder / "stored", {"--json"}));
  const auto json = parse_json(evaluated.out);
  CHECK(json.at("bpc").get<double>() == Approx(json.at("nll").get<double>() / std::log(2.0)));
  CHECK(json.at("bpb").is_null());
  CHECK_FALSE(json.contains("raw_bytes"));
  CHECK(run_child(eval(folder / "stored", {"--metric", "bpb"})).code == 3);
  const auto made = parse_json(run_child(eval(folder / "run", {"--json", "--tokens", "2000"})).out);
  CHECK(made.at("bpc") == json.at("bpc"));
  const Finished inspected = run_child(program("moe-inspect") + Arguments{folder / "stored"});
  CHECK(inspected.code == 0);
  CHECK_THAT(inspected.out, Catch::Contains(fmt::format("best evaluation of the run: bpc {:.4f}", least_bpc(records))));
}

TEST_CASE("moe-eval agrees with the evaluation during training") {
  const TrainedRun run;
  const Json record = comparable_metrics(run.path()).back();
  REQUIRE(record.at("type") == "eval");
  const Finished result = run_child(eval(run.path(), {"--split", "validation", "--json"}));
  REQUIRE(result.code == 0);
  const auto json = parse_json(result.out);
  CHECK(json.at("nll").get<double>() == Approx(record.at("loss").get<double>()).epsilon(1e-6));
  CHECK(json.at("bpc").get<double>() == Approx(record.at("bpc").get<double>()).epsilon(1e-6));
  CHECK(json.at("ppl").get<double>() == Approx(std::exp(json.at("nll").get<double>())));
  CHECK(json.at("accuracy").get<double>() == Approx(record.at("accuracy").get<double>()));
  CHECK(json.at("tokens") == 1998);  // all tokens but the first
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

TEST_CASE("a longer context than the training's is evaluated where positions go on, and refused where they end") {
  for (const char* position : {"rope", "none", "relative", "learned"}) {
    INFO(position);
    const TemporaryFolder folder;
    Arguments settings{fmt::format("model.attention.position={}", position), "train.steps=5"};
    if (position == std::string("relative")) {
      settings = settings + Arguments{"model.attention.memory=16", "curriculum.sampler=contiguous"};
    }
    done(tiny_train(folder.path(), settings));
    const Finished longer = run_child(eval(folder / "run", {"--json", "--context", "64"}));
    INFO(longer.err);
    if (position == std::string("learned")) {
      CHECK(longer.code == 2);
      CHECK_THAT(longer.err, Catch::Contains("trained on 16 tokens") && Catch::Contains("model.attention.position"));
      continue;
    }
    REQUIRE(longer.code == 0);
    CHECK_THAT(longer.err, Catch::Contains("longer than the 16 of the training"));
    const Json result = parse_json(longer.out);
    CHECK(result.at("context") == 64);
    CHECK(double(result.at("nll")) < 3.5);  // log 16 is 2.8
    // A context of 16 is that of the training.
    const Finished same = done(eval(folder / "run", {"--context", "16"})), usual = done(eval(folder / "run"));
    CHECK(same.out == usual.out);
  }
}

TEST_CASE(
    "moe-eval of a model with a context memory: the same for any batch size and ranks, context and streams are "
    "stated") {
  const TemporaryFolder folder;
  const Finished trained = run_child(
      tiny_train(folder.path(), {"train.steps=10", "model.attention.memory=24", "curriculum.sampler=contiguous"}));
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  const auto figure = [&](int ranks, const Arguments& arguments) {
    const Finished result = run_child((ranks > 0 ? mpirun(ranks) : Arguments{}) + eval(folder / "run", arguments));
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.out;
  };
  const std::string first = figure(0, {});
  for (const auto& [ranks, batch] : {std::pair{0, "1"}, {0, "3"}, {2, "3"}, {3, "8"}})
    CHECK(figure(ranks, {"--batch", batch}) == first);
  const auto json = parse_json(figure(0, {"--json", "--streams", "2", "--context", "5"}));
  CHECK(json.at("memory") == 24);
  CHECK(json.at("streams") == 2);
  CHECK(json.at("context") == 5);
  // One stream is the text in one piece, for any segment length.
  CHECK(std::stod(figure(0, {"--streams", "1", "--context", "5"})) ==
        Approx(std::stod(figure(2, {"--streams", "1", "--context", "16"}))).epsilon(1e-5));
  CHECK(run_child(eval(folder / "run", {"--stride", "4"})).code == 2);
}

TEST_CASE("moe-eval prints each refusal once") {
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
  refuses(eval(run.path(), {"--streams", "4"}), 2, "model.attention.memory");
  refuses(eval(run.path(), {"--checkpoint", "7"}), 4, "25, 30");
  refuses(eval(run.folder / "absent"), 4, "absent");
  refuses(eval(run.path(), {"--data", run.folder / "absent"}), 3, "absent");
  refuses(eval(run.path(), {"--split", "dessert"}), 3, "dessert");
}

TEST_CASE("moe-eval of a damaged checkpoint ends with 4") {
  const TrainedRun run;
  const std::string checkpoint = find_checkpoint(run.path(), "last");
  for (const char* name : {"model.safetensors", "state.json", "moe_tokenizer.json", "config.yaml"}) {
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
  CHECK(run_child(eval(run.path(), {"--json"})).code == 0);  // the previous checkpoint
}

TEST_CASE("moe-eval reports whether a model is causal, and measures it") {
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
    const auto json = parse_json(result.out);
    CHECK(json.at("causality") == causality);
    CHECK(json.at("measured_causality") == causality);
    CHECK((result.err.find("not causal") == std::string::npos) == (std::string(causality) == "causal"));
    const Finished plain = run_child(eval(folder / "run", {"--split", "validation", "--tokens", "500", "--json"}));
    CHECK_FALSE(parse_json(plain.out).contains("measured_causality"));
  }
}

static Json varied(const std::string& run, const Arguments& more) {
  const Finished result = run_child(eval(run, more + Arguments{"--json"}));
  INFO(result.err);
  REQUIRE(result.code == 0);
  return parse_json(result.out);
}

TEST_CASE("moe-eval across numbers of experts reports metrics, experts and operations of each") {
  const TrainedRun run;  // k = 2 of 4
  const auto list =
      varied(run.path(), {"--k", "1,2,4", "--vary", "moe.capacity={kind: fixed, evaluation: 0.25}|dropless"});
  REQUIRE(list.size() == 6);
  CHECK(list[0].at("evaluated") == "as trained");
  CHECK(list[1].at("evaluated") == "moe.router.k=1");
  for (const char* key : {"bpc", "experts_per_token", "flops_per_token"}) {
    CHECK(list[2].at(key) == list[0].at(key));
    CHECK(list[5].at(key) == list[0].at(key));
    CHECK(list[4].at(key) != list[0].at(key));
  }
  for (const auto& [i, experts] : {std::pair{1, 1}, {2, 2}, {3, 4}}) CHECK(list[i].at("experts_per_token") == experts);
  const double one = list[1].at("flops_per_token"), two = list[2].at("flops_per_token"),
               four = list[3].at("flops_per_token");
  CHECK(four - two == Approx(2 * (two - one)));
  CHECK(list[4].at("experts_per_token").get<double>() < 1.2);
  CHECK(list[0].at("bpc").get<double>() == Approx(std::stod(run_child(eval(run.path())).out)).margin(1e-6));
}

TEST_CASE("moe-eval with experts left out: with all experts it is the model, with one less it differs") {
  const TrainedRun run;
  const auto list = varied(run.path(), {"--experts", "4,3,2", "--knock-out"});
  REQUIRE(list.size() == 1 + 3 + 2 * 4);
  CHECK(list[1].at("bpc") == list[0].at("bpc"));
  CHECK(list[2].at("bpc") != list[0].at("bpc"));
  CHECK(list[3].at("experts_per_token") == 2);
  CHECK(list[4].at("evaluated") == "without expert 0 of layer 0");
  CHECK(list[11].at("evaluated") == "without expert 3 of layer 1");
  for (size_t i = 4; i < list.size(); ++i) CHECK(list[i].at("experts_per_token") == 2);
  const TemporaryFolder folder;
  const std::string page = folder / "page.html";
  const Finished text = run_child(eval(run.path(), {"--k", "1,2", "--html", page}));
  INFO(text.err);
  CHECK(text.code == 0);
  CHECK_THAT(text.out, Catch::Contains("moe.router.k=1") && Catch::Contains("MFLOP/token"));
  CHECK_THAT(read_file(page), Catch::Contains("</svg>") && Catch::Contains("moe.router.k=2"));
}

TEST_CASE("moe-eval with an oracle beats the router where there is a choice, on any number of ranks") {
  const TrainedRun run;
  const auto once = varied(run.path(), {"--router", "oracle,random", "--tokens", "300"});
  REQUIRE(once.size() == 3);
  CHECK(once[1].at("evaluated") == "oracle");
  CHECK(once[1].at("experts_per_token") == 2);
  CHECK(once[1].at("bpc").get<double>() < once[0].at("bpc").get<double>());
  CHECK(once[2].at("bpc").get<double>() > once[1].at("bpc").get<double>());
  for (const auto& [ranks, batch] : {std::pair{1, "3"}, {2, "8"}}) {
    const Finished again = run_child(
        mpirun(ranks) + eval(run.path(), {"--router", "oracle", "--tokens", "300", "--batch", batch, "--json"}));
    INFO(again.err);
    REQUIRE(again.code == 0);
    CHECK_THAT(again.err, Catch::Contains("do not measure prediction"));
    CHECK(parse_json(again.out)[1].at("bpc") == once[1].at("bpc"));
  }
  // Where all experts are chosen anyway, the oracle has no choice.
  const TrainedRun every({"moe.router.k=4"});
  const auto same = varied(every.path(), {"--router", "oracle", "--tokens", "300"});
  CHECK(same[1].at("bpc") == same[0].at("bpc"));
}

TEST_CASE("moe-eval with routers without learned parameters is the same for any batch size and number of ranks") {
  const TrainedRun run;
  const auto once = varied(run.path(), {"--router", "random,uniform,hash"});
  REQUIRE(once.size() == 4);
  CHECK(once[1].at("experts_per_token") == 2);
  CHECK(once[2].at("experts_per_token") == 4);
  CHECK(once[1].at("bpc") != once[0].at("bpc"));
  for (const auto& [ranks, batch] : {std::pair{1, "3"}, {2, "8"}, {2, "1"}}) {
    const Finished again =
        run_child(mpirun(ranks) + eval(run.path(), {"--router", "random,uniform,hash", "--batch", batch, "--json"}));
    INFO(again.err);
    REQUIRE(again.code == 0);
    const auto list = parse_json(again.out);
    for (size_t i = 0; i < 4; ++i) CHECK(list[i].at("bpc") == once[i].at("bpc"));
  }
}

TEST_CASE("moe-eval refuses invalid variations") {
  const TrainedRun run;
  for (const auto& [code, wrong] : {std::pair<int, Arguments>{2, {"--k", "5"}},
                                    {2, {"--k", "x"}},
                                    {2, {"--experts", "9"}},
                                    {2, {"--router", "topk"}},
                                    {2, {"--vary", "moe.router.k"}},
                                    {2, {"--vary", "moe.nothing=1|2"}},
                                    {2, {"--html", "x.html"}},
                                    {4, {"--vary", "moe.experts=8"}}}) {
    const Finished result = run_child(eval(run.path(), wrong));
    INFO(wrong[0] << " " << wrong[1] << ": " << result.err);
    CHECK(result.code == code);
  }
}
