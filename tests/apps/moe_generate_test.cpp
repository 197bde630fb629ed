#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/json_text.h"
#include "core/base/text.h"
#include "data/posix_file.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using moe::test::bright_quarters;
using moe::test::write_idx_folder;

namespace {

// A run on a text of characters.
struct TrainedRun {
  explicit TrainedRun(const Arguments& more = {}) {
    std::string text;
    for (int i = 0; i < 3000; ++i) text += i % 3 == 0 ? "to be, or not to be.\n" : "that is the question\n";
    write_text_file(folder / "text", text);
    done(program("moe-data") +
         Arguments{"prepare", "--input", folder / "text", "--output", folder / "corpus", "--tokenizer", "char"});
    const Finished trained =
        run_child(tiny_train(folder.path(), Arguments{"data.path=" + (folder / "corpus"), "data.sequence=32"} + more));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
  }
  Arguments write(const Arguments& more) const { return program("moe-generate") + Arguments{folder / "run"} + more; }
  std::string text(const Arguments& more) const {
    const Finished result = run_child(write(more));
    INFO(result.err);
    CHECK(result.code == 0);
    return result.out;
  }
  TemporaryFolder folder;
};

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> lines;
  for (const std::string& line : split(text, '\n'))
    if (!line.empty()) lines.push_back(parse_json(line));
  return lines;
}

}  // namespace

TEST_CASE("moe-generate prints the prompt and the text, and the same seed gives the same text") {
  const TrainedRun run;
  const Arguments asked = {"--prompt", "to be", "-n", "60", "--seed", "3"};
  const std::string text = run.text(asked);
  CHECK(text.starts_with("to be"));
  CHECK(text.size() > 60);
  CHECK(text.ends_with("\n"));
  for (const Arguments& more : {Arguments{"--no-cache"}, {"--threads", "3"}, {"--batch", "4"}}) {
    INFO(join(more, " "));
    CHECK(run.text(asked + more) == text);
  }
  CHECK(run.text({"--prompt", "to be", "-n", "60", "--seed", "4"}) != text);
  CHECK("to be" + run.text(asked + Arguments{"--no-prompt"}) == text);
  const Finished shared = run_child(mpirun(2) + run.write(asked));
  INFO(shared.err);
  CHECK(shared.code == 0);
  CHECK(shared.out == text);
  // From a file, and from standard input.
  write_text_file(run.folder / "prompt", "to be");
  CHECK(run.text({"--prompt-file", run.folder / "prompt", "-n", "60", "--seed", "3"}) == text);
  const Finished piped = run_child({"/bin/sh", "-c", "printf 'to be' | \"$0\" \"$1\" --prompt-file - -n 60 --seed 3",
                                    MOE_PROGRAMS "/moe-generate", run.folder / "run"});
  CHECK(piped.out == text);
}

TEST_CASE("moe-generate writes several texts, which do not depend on each other") {
  const TrainedRun run;
  std::ofstream(run.folder / "prompts.jsonl") << "{\"prompt\": \"that is\"}\n{\"prompt\": \"to\\nbe\", \"id\": 7}\n";
  const Arguments asked = {"--prompts", run.folder / "prompts.jsonl", "--samples", "2", "-n", "20", "--json"};
  const std::vector<Json> texts = json_lines(run.text(asked));
  REQUIRE(texts.size() == 4);
  CHECK(texts[0].at("prompt").get<std::string>() == "that is");
  CHECK(texts[3].at("prompt").get<std::string>() == "to\nbe");
  CHECK(texts[3].at("sample").get<int>() == 1);
  CHECK(texts[0].at("tokens").size() == 20);
  CHECK(texts[0].at("end").get<std::string>() == "length");
  CHECK(texts[0].at("text").get<std::string>() != texts[1].at("text").get<std::string>());
  CHECK(json_lines(run.text(asked + Arguments{"--batch", "3"})) == texts);
  const std::vector<Json> alone = json_lines(run.text({"--prompt", "that is", "-n", "20", "--json"}));
  REQUIRE(alone.size() == 1);
  CHECK(alone[0] == texts[0]);
  // As text, with a line in front of each.
  const std::string all = run.text({"--prompt", "that is", "--prompt", "to\nbe", "--samples", "2", "-n", "20"});
  CHECK(all.starts_with("--- text 1 of 4\nthat is" + texts[0].at("text").get<std::string>()));
}

TEST_CASE("moe-generate ends a text before a stop string and where the context is full") {
  const TrainedRun run;
  const std::string text = run.text({"--prompt", "to be", "-n", "60", "--no-prompt"});
  const std::string stop = text.substr(5, 3);
  const Json stopped = json_lines(run.text({"--prompt", "to be", "-n", "60", "--stop", stop, "--json"})).at(0);
  CHECK(stopped.at("end").get<std::string>() == "stop");
  CHECK(stopped.at("text").get<std::string>() == text.substr(0, text.find(stop)));
  const Json full = json_lines(run.text({"--prompt", "to be", "-n", "60", "--full-context", "stop", "--json"})).at(0);
  CHECK(full.at("end").get<std::string>() == "context");
  CHECK(full.at("tokens").size() == 28);
  const Finished longer = run_child(run.write({"--prompt", "to be", "-n", "60", "--context", "80", "--json"}));
  CHECK(json_lines(longer.out).at(0).at("tokens").size() == 60);
  CHECK(longer.err.find("longer than the 32 of the training") != std::string::npos);
}

TEST_CASE("moe-generate shows the experts of each token") {
  const TrainedRun run({"moe.shared_experts=1"});
  const std::vector<Json> tokens = json_lines(run.text({"--prompt", "to be", "-n", "40", "--experts"}));
  REQUIRE(tokens.size() == 45);
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    text += tokens[i].at("piece").get<std::string>();
    CHECK(tokens[i].at("written").get<bool>() == (i >= 5));
    // The last token was drawn, but never read.
    for (const char* block : {"0", "1"}) CHECK(tokens[i].at("experts").at(block).size() == (i < 44 ? 2u : 0u));
  }
  CHECK(text + "\n" == run.text({"--prompt", "to be", "-n", "40"}));
}

TEST_CASE("moe-generate says that routers which see later tokens route otherwise") {
  const TrainedRun run({"moe.router=expert_choice"});
  const Finished result = run_child(run.write({"--prompt", "to be", "-n", "10"}));
  CHECK(result.code == 0);
  CHECK(result.err.find("not written as the model was trained") != std::string::npos);
  CHECK(result.out == run.text({"--prompt", "to be", "-n", "10", "--batch", "2"}));
}

TEST_CASE("moe-generate goes on with a text after each line of an interactive session") {
  const TrainedRun run;
  const auto talk = [&](const std::string& lines) {
    return run_child({"/bin/sh", "-c", "printf '" + lines + "' | \"$0\" \"$1\" -i -n 12 --temperature 0",
                      MOE_PROGRAMS "/moe-generate", run.folder / "run"});
  };
  const Finished first = talk("to be\\n");
  INFO(first.err);
  CHECK(first.code == 0);
  CHECK(first.out + "" == run.text({"--prompt", "to be", "-n", "12", "--temperature", "0", "--no-prompt"}));
  const Finished again = talk("to be\\n/new\\nto be\\n/end\\nthat\\n");
  CHECK(again.out == first.out + first.out);
  CHECK(talk("to be\\nor not\\n").out.size() == 2 * first.out.size());
}

TEST_CASE("moe-eval evaluates a text that is given as a file, from any number of ranks") {
  const TrainedRun run;
  std::string text;
  for (int i = 0; i < 40; ++i) text += i % 4 == 0 ? "to be, or not to be.\n" : "that is the question\n";
  write_text_file(run.folder / "other", text);
  const Arguments eval = program("moe-eval") + Arguments{run.folder / "run", "--json"};
  const Json whole = parse_json(done(eval + Arguments{"--text", run.folder / "other"}).out);
  CHECK(whole.at("raw_bytes").get<int64_t>() == std::ssize(text) - 1);
  const Finished piped = run_child({"/bin/sh", "-c", "\"$0\" \"$1\" --json --text - < \"$2\"", MOE_PROGRAMS "/moe-eval",
                                    run.folder / "run", run.folder / "other"});
  CHECK(parse_json(piped.out).at("bpc").get<double>() == whole.at("bpc").get<double>());
  const Finished shared = run_child(mpirun(2) + eval + Arguments{"--text", run.folder / "other"});
  CHECK(parse_json(shared.out).at("nll").get<double>() == Approx(whole.at("nll").get<double>()).epsilon(1e-5));
  // The run's own corpus is not needed.
  std::filesystem::remove_all(run.folder / "corpus");
  CHECK(parse_json(done(eval + Arguments{"--text", run.folder / "other"}).out) == whole);
  const std::string table =
      done(program("moe-eval") + Arguments{run.folder / "run", "--text", run.folder / "other", "--per-token"}).out;
  CHECK(std::count(table.begin(), table.end(), '\n') == std::ssize(text) + 1);
}

TEST_CASE("moe-eval answers multiple-choice questions, and refuses what does not go together") {
  const TrainedRun run;
  write_text_file(run.folder / "q.jsonl",
                  "{\"prompt\": \"that is the\", \"choices\": [\"question\", \"qqqq\"], \"answer\": 0}\n");
  const Arguments eval = program("moe-eval") + Arguments{run.folder / "run"};
  const Json answers = parse_json(done(eval + Arguments{"--choices", run.folder / "q.jsonl", "--json"}).out);
  CHECK(answers.at("questions").get<int>() == 1);
  CHECK(answers.at("accuracy").at("share").get<double>() >= 0);
  for (const Arguments& more : {Arguments{"--per-token"},
                                {"--text", "a", "--choices", "b"},
                                {"--text", "a", "--k", "1"},
                                {"--choices", "a", "--split", "train"}}) {
    INFO(join(more, " "));
    CHECK(run_child(eval + more).code == 2);
  }
  CHECK(run_child(eval + Arguments{"--text", run.folder / "absent"}).code == 3);
}

TEST_CASE("moe-generate refuses what cannot be written") {
  const TrainedRun run;
  const auto refused = [&](const Arguments& more, int code, const std::string& part) {
    INFO(join(more, " "));
    const Finished result = run_child(run.write(more));
    CHECK(result.code == code);
    CHECK(result.err.find(part) != std::string::npos);
    CHECK(result.out.empty());
  };
  refused({}, 2, "there is no prompt");
  refused({"--prompt", ""}, 2, "an empty prompt");
  refused({"--ids", "1,999"}, 3, "token 999 is outside the vocabulary of");
  refused({"--prompt", std::string(33, 'a'), "--full-context", "stop"}, 3,
          "a prompt of 33 tokens does not fit in the context of 32");
  refused({"--prompt", "a", "--checkpoint", "77"}, 4, "77");
  refused({"--prompt-file", run.folder / "absent"}, 3, "absent");
  refused({"--prompt", "a", "--experts", "--layer", "5"}, 2, "block 5 has no experts");
  refused({"--prompt", "a", "--top-p", "0"}, 2, "top-p");
  refused({"-i", "--samples", "2"}, 2, "--interactive writes one text");
  write_text_file(run.folder / "bad.jsonl", "{\"prompt\": \"a\"}\n{\"text\": \"b\"}\n");
  refused({"--prompts", run.folder / "bad.jsonl"}, 3, "bad.jsonl:2:");
  const TrainedRun learned({"model.attention.position=learned"});
  const Finished longer = run_child(learned.write({"--prompt", "a", "--context", "33"}));
  CHECK(longer.code == 2);
  CHECK(longer.err.find("its learned positions") != std::string::npos);
}

TEST_CASE("moe-generate refuses a classifier by its task") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "images");
  write_idx_folder(folder / "images", bright_quarters(64, 12, 1, 6), bright_quarters(20, 12, 2));
  done(tiny_train(folder.path(), {"task=classify", "model.patch=4", "data.path=" + (folder / "images"),
                                  "data.labelled.validation=20", "model.attention={heads: 2, causal: false}",
                                  "train.steps=2", "checkpoint.every=2", "evaluate.every=2", "evaluate.tokens=0"}));
  const Finished result = run_child(program("moe-generate") + Arguments{folder / "run", "--prompt", "a"});
  CHECK(result.code == 2);
  CHECK(result.err.find("task: classify, whose model does not write text") != std::string::npos);
}
