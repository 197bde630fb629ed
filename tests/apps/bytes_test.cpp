// Texts, labels and names that are bytes, not UTF-8: nothing ends because of them, and what is read again is the same.
#include <filesystem>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "data/posix_file.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;

static const std::string kLatin1 =
    "Gr\xf6\xdf"
    "ere B\xe4ume\n";

static std::string repeated(const std::string& line, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += line;
  return text;
}

TEST_CASE("samples of text that is not UTF-8 are shown with replacement characters, and the run goes on") {
  TemporaryFolder folder;
  write_text_file(folder / "text", repeated(kLatin1, 300));
  done(program("moe-data") + Arguments{"prepare", "--input", folder / "text", "--output", folder / "corpus"});
  const std::string prompt = "B\xe4";
  done(tiny_train(folder.path(),
                  {"data.path=" + folder / "corpus", "sample.every=5", "sample.prompt=" + prompt, "train.steps=10"}));
  int samples = 0;
  for (const std::string& line : split(read_file(folder / "run/metrics.jsonl"), '\n')) {
    if (line.empty()) continue;
    CHECK(is_utf8(line));
    const Json record = parse_json(line);
    samples += record.at("type") == "sample";
  }
  CHECK(samples == 2);
  CHECK(is_utf8(read_file(folder / "run/train.log")));
  // The run's own configuration has the prompt's bytes.
  done(tiny_train(folder.path(),
                  {"data.path=" + folder / "corpus", "sample.every=5", "sample.prompt=" + prompt, "train.steps=15"}));
}

TEST_CASE("tokens, labels, files and folders that are not UTF-8 survive in corpora, checkpoints and configurations") {
  TemporaryFolder folder;
  const std::string name = folder / "t\xe4xt";
  write_text_file(name, repeated(kLatin1, 300));
  const std::string corpus = folder / "c\xf6rpus";
  done(program("moe-data") + Arguments{"prepare", "--input", name, "--output", corpus, "--tokenizer", "word"});
  const std::string runs = folder / "l\xe4uf";
  done(tiny_train(runs, {"data.path=" + corpus, "train.steps=5", "evaluate.stride=16"}));
  const Json figures = parse_json(done(program("moe-eval") + Arguments{runs + "/run", "--json"}).out);
  CHECK(figures.at("nll").get<double>() > 0);

  std::filesystem::create_directory(folder / "labelled");
  write_text_file(folder / "labelled/train.tsv", repeated("tr\xfc"
                                                          "b\tB\xe4ume\nheiter\tWiese\n",
                                                          40));
  write_text_file(folder / "labelled/test.tsv", repeated("tr\xfc"
                                                         "b\tB\xe4ume\nheiter\tWiese\n",
                                                         10));
  const Arguments settings = {"task=classify", "data.path=" + folder / "labelled", "data.labelled.tokenizer=word",
                              "data.labelled.validation=10", "train.steps=5"};
  done(tiny_train(folder / "classes", settings));
  const Json description = parse_json(read_file(folder / "classes/run/checkpoints/step_00000005/samples.json"));
  CHECK(description.at("classes").get<std::vector<std::string>>() == std::vector<std::string>{"heiter",
                                                                                              "tr\xfc"
                                                                                              "b"});
  CHECK(parse_json(done(program("moe-eval") + Arguments{folder / "classes/run", "--json"}).out).contains("accuracy"));
  done(program("moe-inspect") + Arguments{folder / "classes/run", "--no-html"});
}

TEST_CASE("messages show no control characters, which could control a terminal") {
  TemporaryFolder folder;
  const Finished result = run_child(tiny_train(folder.path(), {"data.path=" + folder / "\x1b[31mred"}));
  CHECK(result.code == 3);
  CHECK(result.err.find('\x1b') == std::string::npos);
  CHECK_THAT(result.err, Catch::Contains("\uFFFD[31mred"));
}

TEST_CASE("samples with escape sequences control neither the terminal nor who reads train.log") {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 400; ++i) text += "\x1b[31mred\x1b[0m ";
  write_text_file(folder / "text", text);
  done(program("moe-data") + Arguments{"prepare", "--input", folder / "text", "--output", folder / "corpus"});
  const Finished result =
      done(tiny_train(folder.path(), {"data.path=" + folder / "corpus", "train.steps=20", "sample.every=10",
                                      "sample.tokens=40", R"(sample.prompt="\u001b[2J")"}));
  CHECK_THAT(result.err, Catch::Contains("[sample] step 10 | \uFFFD[2J"));
  for (const std::string& shown : {result.err, read_file(folder / "run/train.log")})
    CHECK(shown.find('\x1b') == std::string::npos);
}
