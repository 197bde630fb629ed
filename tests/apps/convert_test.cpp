#include <filesystem>
#include <fstream>

#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "data/posix_file.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

static std::string golden(const std::string& layout) {
  return std::string(MOE_GOLDEN "/") + layout;
}

static Arguments convert(const Arguments& arguments) {
  return program("moe-convert") + arguments;
}

// Token ids below `vocab` in the files that other programs write: 256 numbers, then the ids.
static void write_ids(const std::string& folder, uint32_t vocab) {
  make_folder(folder);
  for (const char* name : {"text_train.bin", "text_val.bin"}) {
    std::ofstream file(folder + "/" + name, std::ios::binary);
    std::vector<uint32_t> numbers(256, 0);
    numbers[0] = 20240801, numbers[1] = 7, numbers[2] = 4000;
    for (uint32_t i = 0; i < 4000; ++i) numbers.push_back((i * i + i / 7) % vocab);
    file.write(reinterpret_cast<const char*>(numbers.data()), static_cast<std::streamsize>(4 * numbers.size()));
  }
}

TEST_CASE("an imported model is evaluated, inspected, fine-tuned and upcycled") {
  const TemporaryFolder folder;
  const std::string run = folder / "imported", ids = folder / "ids";
  write_ids(ids, 23);
  const Finished imported = run_child(convert({"from-hf", golden("llama"), run}));
  INFO(imported.err);
  REQUIRE(imported.code == 0);
  CHECK_THAT(imported.err, Catch::Contains("tokenizer is none of ours"));
  done(program("moe-eval") + Arguments{run, "--data", ids, "--split", "validation"});
  done(program("moe-inspect") + Arguments{run, "--data", ids, "--no-html"});

  const Arguments more = settings({"folder=" + folder.path(), "init.from=" + run, "data.path=" + ids, "train.steps=4",
                                   "train.batch=2", "evaluate.every=2", "data.sequence=16", "parallel.threads=1"});
  const Arguments from = program("moe-train") + Arguments{"-c", run + "/config.yaml"} + more;
  const Finished tuned = run_child(from + settings({"name=tuned"}));
  INFO(tuned.err);
  CHECK(tuned.code == 0);
  const Finished upcycled = run_child(
      from + settings({"name=upcycled", "model.arrangement=switch", "moe.experts=4", "model.bias.feed_forward=true"}));
  INFO(upcycled.err);
  CHECK(upcycled.code == 0);
  CHECK_THAT(upcycled.err, Catch::Contains("init"));
}

TEST_CASE("data of another tokenizer, or none, is refused for an imported model") {
  const TemporaryFolder folder;
  const std::string run = folder / "imported";
  done(convert({"from-hf", golden("qwen3_moe"), run}));
  const Finished none = run_child(program("moe-eval") + Arguments{run});
  CHECK(none.code == 3);
  CHECK_THAT(none.err, Catch::Contains("--data"));
  write_text_file(folder / "text", std::string(5000, 'a'));
  done(program("moe-data") + Arguments{"prepare", "-i", folder / "text", "-o", folder / "corpus", "--tokenizer", "byte",
                                       "--split", "80/10/10"});
  const Finished other = run_child(program("moe-eval") + Arguments{run, "--data", folder / "corpus"});
  CHECK(other.code == 3);
  CHECK_THAT(other.err, Catch::Contains("another tokenizer"));
}

TEST_CASE("a trained run becomes a folder that is complete, and comes back with the same weights") {
  const TemporaryFolder folder;
  done(tiny_train(folder.path()));
  const Finished exported = run_child(convert({"to-hf", folder / "run", folder / "theirs", "--checkpoint", "best"}));
  INFO(exported.err);
  REQUIRE(exported.code == 0);
  CHECK_THAT(exported.err, Catch::Contains("mixtral"));
  const Json config = parse_json(read_text(folder / "theirs/config.json"));
  CHECK(config.at("architectures").at(0) == "MixtralForCausalLM");
  CHECK(config.at("vocab_size") == 16);
  CHECK_THAT(read_text(folder / "theirs/README.md"), Catch::Contains("| updates |"));
  done(convert({"from-hf", folder / "theirs", folder / "again"}));
  const Finished twice = run_child(convert({"to-hf", folder / "run", folder / "theirs"}));
  CHECK(twice.code == 4);
  CHECK_THAT(twice.err, Catch::Contains("not an empty folder"));
  CHECK(run_child(convert({"to-hf", folder / "run", folder / "other", "--dtype", "f64"})).code == 2);
  CHECK(run_child(convert({"to-hf", folder / "run", folder / "other", "--shard-size", "big"})).code == 2);
  CHECK(run_child(convert({"to-hf", folder / "nowhere", folder / "other"})).code == 4);
  CHECK_FALSE(fs::exists(folder / "other"));
}

TEST_CASE("what no layout computes is refused, and approximated on request with the measured difference") {
  const TemporaryFolder folder;
  done(tiny_train(folder.path(), {"moe.capacity={kind: fixed, factor: 1, evaluation: 0.5}"}));
  const Finished refused = run_child(convert({"to-hf", folder / "run", folder / "theirs"}));
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("moe.capacity"));
  const Finished near = run_child(convert({"to-hf", folder / "run", folder / "theirs", "--approximate"}));
  INFO(near.err);
  CHECK(near.code == 0);
  CHECK_THAT(near.err, Catch::Contains("nats per token"));
  CHECK_THAT(read_text(folder / "theirs/README.md"), Catch::Contains("left out"));
}
