// Datastores of a run's states, as a user makes and uses them.
#include <fmt/core.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "core/base/json_text.h"
#include "core/base/philox.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

// Ends a test where FAISS was not found.
#define REQUIRES_FAISS()                                                \
  if (!MOE_HAS_FAISS) {                                                 \
    WARN("skipped: FAISS was not found, so moe-retrieve is not built"); \
    return;                                                             \
  }

static const char* const kPlanted = "zebras quietly juggle xylophones";

static std::string sentences(uint64_t seed, int64_t count) {
  static constexpr const char* kWords[] = {"the", "film", "was", "a", "long", "one", "we", "saw", "it", "good", "bad"};
  const RandomKey key{seed, RandomPurpose::test, 0, 0};
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += fmt::format("{} ", kWords[key.bits(static_cast<uint64_t>(i)) % 11]);
  return text;
}

namespace {

// A corpus in whose training text a sentence is planted once, another of that sentence alone, and a run.
struct Place {
  Place() {
    const std::string alphabet = "abcdefghijklmnopqrstuvwxyz ";
    write_bytes(folder / "corpus.txt", alphabet + sentences(1, 3000) + kPlanted + " " + sentences(2, 5000));
    std::string planted;
    for (int i = 0; i < 40; ++i) planted += sentences(static_cast<uint64_t>(i + 10), 5) + kPlanted + " ";
    write_bytes(folder / "planted.txt", planted);
    const auto prepare = [&](const std::string& name, const Arguments& more) {
      done(program("moe-data") + Arguments{"prepare", "--input", folder / (name + ".txt"), "--output", folder / name} +
           more);
    };
    prepare("corpus", {"--tokenizer", "char"});
    prepare("planted", {"--tokenizer", folder / "corpus", "--split", "10/10/80"});
    done(program("moe-train") + settings({"folder=" + folder.path(), "name=run", "parallel.threads=1", "model.layers=2",
                                          "model.d_model=32", "model.attention.heads=2", "moe.experts=4", "moe.d_ff=16",
                                          "data.sequence=32", "data.path=" + (folder / "corpus"), "train.batch=8",
                                          "train.steps=200", "train.learning_rate={kind: constant, value: 0.005}",
                                          "evaluate.every=200", "checkpoint.every=200"}));
  }
  Arguments retrieve(const std::string& command, const Arguments& more) const {
    return program("moe-retrieve") + Arguments{command} + more;
  }
  Arguments build(const std::string& store, const Arguments& more = {}) const {
    return retrieve("build", Arguments{folder / "run", "-o", folder / store, "--threads", "1"} + more);
  }
  Json evaluated(const std::string& store, const Arguments& more = {}) const {
    return parse_json(
        done(retrieve("evaluate", Arguments{folder / "run", folder / store, "--json", "--threads", "1"} + more)).out);
  }

  TemporaryFolder folder;
};

std::vector<std::vector<std::string>> fields(const std::string& table) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream parts(line);
    std::vector<std::string>& row = rows.emplace_back();
    for (std::string part; std::getline(parts, part, '\t');) row.push_back(part);
  }
  return rows;
}

}  // namespace

TEST_CASE("a sentence that the training text has once is found by its beginning, and a store predicts it",
          "[slow][retrieval]") {
  REQUIRES_FAISS();
  const Place place;
  done(place.build("store"));
  const Json facts = parse_json(done(place.retrieve("info", {place.folder / "store", "--verify"})).out);
  CHECK(facts.at("split") == "train");
  CHECK(facts.at("width").get<int64_t>() == 32);
  const Json corpus = parse_json(read_file(place.folder / "corpus/corpus.json"));
  CHECK(facts.at("key") == "hidden");

  const auto found = fields(done(place.retrieve("search", {place.folder / "store", "--text", "zebras quietly jug", "-k",
                                                           "3", "--threads", "1"}))
                                .out);
  REQUIRE(found.size() == 4);
  CHECK_THAT(found[1].at(3), Catch::Contains("zebras quietly jug[g]le x"));

  const Json plain = place.evaluated("store");
  const std::string alone = done(program("moe-eval") + Arguments{place.folder / "run", "--threads", "1"}).out;
  CHECK(plain.at("bpc").get<double>() == Approx(std::stod(alone)).margin(1e-6));
  CHECK(plain.at("results").at(0).at("bpc").get<double>() <= plain.at("bpc").get<double>() + 0.01);

  // The planted sentence itself, with parameters that were not chosen on it.
  const Json planted = place.evaluated("store", {"--data", place.folder / "planted", "--k", "4", "--lambda", "0.5",
                                                 "--temperature", "1", "--table", place.folder / "table.tsv"});
  CHECK(planted.at("results").at(0).at("high").get<double>() < -0.3);
  const auto table = fields(read_file(place.folder / "table.tsv"));
  CHECK(std::ssize(table) == planted.at("tokens").get<int64_t>() + 1);
  double without = 0, with = 0;
  for (size_t i = 1; i < table.size(); ++i) without += std::stod(table[i].at(2)), with += std::stod(table[i].at(3));
  CHECK(without / (planted.at("tokens").get<double>()) == Approx(planted.at("nll").get<double>()).epsilon(1e-4));
  CHECK(with / (planted.at("tokens").get<double>()) ==
        Approx(planted.at("results").at(0).at("nll").get<double>()).epsilon(1e-4));
}

TEST_CASE("a store of the evaluated text, of another model or with damage is refused", "[slow][retrieval]") {
  REQUIRES_FAISS();
  const Place place;
  done(place.build("own", {"--split", "test", "--tokens", "300"}));
  const Arguments evaluate = place.retrieve("evaluate", {place.folder / "run"});
  Finished refused = run_child(evaluate + Arguments{place.folder / "own"});
  CHECK(refused.code == 2);
  CHECK_THAT(refused.err, Catch::Contains("holds the evaluated text itself"));

  done(place.build("store", {"--tokens", "2000"}));
  CHECK(run_child(evaluate + Arguments{place.folder / "nothing"}).code == 4);
  CHECK(run_child(evaluate + Arguments{place.folder / "store", "--index", "ivfpq"}).code == 4);  // it has none
  CHECK(run_child(evaluate + Arguments{place.folder / "store", "--split", "validation"}).code == 2);
  done(program("moe-train") + Arguments{"-c", place.folder / "run/config.yaml"} +
       settings({"name=other", "seed=7", "train.steps=5", "evaluate.every=5", "checkpoint.every=5"}));
  refused = run_child(place.retrieve("evaluate", {place.folder / "other", place.folder / "store"}));
  CHECK(refused.code == 4);
  CHECK_THAT(refused.err, Catch::Contains("keys of another model"));

  const std::string keys = place.folder / "store/keys.bin";
  const std::string bytes = read_file(keys);
  write_bytes(keys, bytes.substr(0, 100) + "x" + bytes.substr(101));
  refused = run_child(evaluate + Arguments{place.folder / "store"});
  CHECK(refused.code == 4);
  CHECK_THAT(refused.err, Catch::Contains("is damaged"));

  const Finished full = run_child(place.build("full"), [] {
    std::signal(SIGXFSZ, SIG_IGN);  // writes fail instead
    const rlimit limit{20000, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
  });
  CHECK(full.code == 4);
  CHECK_FALSE(fs::exists(place.folder / "full"));
  CHECK_FALSE(fs::exists(place.folder / "full.tmp"));
}

TEST_CASE("stores of ranks, threads and compressed keys give the figures of one rank and exact search",
          "[slow][retrieval]") {
  REQUIRES_FAISS();
  const Place place;
  done(place.build("store", {"--dtype", "f32"}));
  done(mpirun(2) + place.build("ranks", {"--dtype", "f32"}));
  const Arguments fixed{"--k", "8", "--lambda", "0.2", "--temperature", "2"};
  const auto bpc = [](const Json& json) { return json.at("results").at(0).at("bpc").get<double>(); };
  const Json one = place.evaluated("store", fixed);
  CHECK(bpc(place.evaluated("ranks", fixed + Arguments{"--table", place.folder / "a"})) ==
        Approx(bpc(one)).margin(1e-4));
  const Json two = parse_json(
      done(mpirun(2) +
           place.retrieve("evaluate",
                          Arguments{place.folder / "run", place.folder / "store", "--json", "--threads", "1"} + fixed))
          .out);
  CHECK(bpc(two) == Approx(bpc(one)).margin(1e-5));

  const auto printed = [&](const char* threads) {
    return done(place.retrieve("evaluate", Arguments{place.folder / "run", place.folder / "store", "--json", "--share",
                                                     "0.5,1", "--threads", threads}))
        .out;
  };
  CHECK(printed("1") == printed("3"));

  const auto index = [&](const char* threads) {
    done(place.retrieve("index", {place.folder / "store", "--lists", "16", "--bytes", "8", "--threads", threads}));
    return read_file(place.folder / "store/ivfpq.faiss");
  };
  CHECK(index("1") == index("3"));
  const Json compressed = place.evaluated("store", fixed + Arguments{"--index", "ivfpq", "--probes", "16"});
  CHECK(bpc(compressed) == Approx(bpc(one)).margin(0.02));

  done(place.build("routing", {"--key", "routing"}));
  CHECK(bpc(place.evaluated("routing", fixed)) < one.at("bpc").get<double>() + 0.5);
  const auto tune = place.retrieve(
      "tune", {place.folder / "run", place.folder / "store", "--threads", "1", "-o", place.folder / "tuned.json"});
  const Json tuned = parse_json(done(tune).out);
  CHECK(place.evaluated("store", {"--tuned", place.folder / "tuned.json"}).at("results").at(0).at("lambda") ==
        tuned.at("lambda"));
}

TEST_CASE("a run with retrieved prefixes resumes to the bit, gives on ranks what one gives, and shows them apart",
          "[slow][retrieval]") {
  REQUIRES_FAISS();
  const Place place;
  const Arguments neighbours{place.folder / "run", "--chunk", "8",         "--length", "12",
                             "--window",           "16",      "--threads", "1",        "-o"};
  done(place.retrieve("neighbours", neighbours + Arguments{place.folder / "near"}));
  done(mpirun(2) + place.retrieve("neighbours", neighbours + Arguments{place.folder / "near2"}));
  CHECK(fs::file_size(place.folder / "near/train.bin") == fs::file_size(place.folder / "near2/train.bin"));
  const auto train = [&](const std::string& name, const Arguments& more) {
    return program("moe-train") + Arguments{"-c", place.folder / "run/config.yaml"} +
           settings(Arguments{"name=" + name, "data.sequence=16",
                              "data.retrieval.neighbours=" + (place.folder / "near"), "data.retrieval.length=12",
                              "train.steps=20", "evaluate.every=10", "log.every=1", "checkpoint.every=5"} +
                    more);
  };
  const Finished planned = run_child(train("planned", {}) + Arguments{"--dry-run"});
  CHECK(planned.code == 0);
  done(train("straight", {}));
  REQUIRE(run_child(train("stopped", {"train.time_limit=1s"})).code % 143 == 0);  // ended early, or not
  const Finished resumed = run_child(train("stopped", {}) + Arguments{"--resume", "must"});
  CHECK(resumed.code == 0);
  const auto last = [&](const std::string& run) { return find_checkpoint(place.folder / run, "last"); };
  CHECK(largest_difference(last("straight"), last("stopped")) == 0);
  done(mpirun(2) + train("ranks", {}));
  CHECK(largest_difference(last("straight"), last("ranks")) < 1e-3);

  const auto bpc = [&](const std::string& run, const Arguments& more = {}) {
    return parse_json(done(program("moe-eval") + Arguments{place.folder / run, "--json", "--threads", "1"} + more).out);
  };
  const Json straight = bpc("straight");
  CHECK(straight.at("retrieved").get<int64_t>() == 12);
  CHECK(straight.at("tokens") == bpc("run").at("tokens"));
  CHECK(bpc("straight", {"--batch", "3"}).at("bpc").get<double>() == Approx(straight.at("bpc").get<double>()));

  const Json layers = parse_json(done(program("moe-inspect") + Arguments{place.folder / "straight", "--json"}).out)
                          .at("specialisation")
                          .at("layers");
  CHECK(layers.at(0).at("retrieved").at("value").get<double>() >= 0);
  CHECK(layers.at(0).at("load_of_prefix").size() == 4);
  CHECK(layers.at(0).at("load_of_window").size() == 4);

  // Other neighbours are other data; a changed file is refused.
  done(place.retrieve("neighbours", {place.folder / "run", "--chunk", "4", "--length", "12", "--window", "16", "-o",
                                     place.folder / "other"}));
  const Finished other = run_child(train(
      "straight", {"data.retrieval.neighbours=" + (place.folder / "other"), "train.steps=30", "train.extend=stretch"}));
  INFO(other.err);
  CHECK(other.code == 4);
  const std::string file = place.folder / "near/train.bin";
  std::string bytes = read_file(file);
  bytes[0] = static_cast<char>(~bytes[0]);
  write_bytes(file, bytes);
  CHECK(run_child(train("damaged", {})).code == 4);
}
