// Classification of labelled sounds through the programs and scripts: reading, training, resuming, several ranks, a
// curriculum, evaluation and reports.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/base/json_text.h"
#include "tests/apps/compare_runs.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_images.h"
#include "tests/support/tiny_sounds.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

namespace {

// A folder with tones of three classes, and runs on them.
struct Sounds {
  Sounds() { write_sound_folders(folder / "sounds", 48); }
  Arguments train(const Arguments& assignments = {}) const {
    return program("moe-train") +
           settings(Arguments{"folder=" + folder.path(),
                              "name=run",
                              "task=classify",
                              "parallel.threads=1",
                              "model.layers=2",
                              "model.d_model=16",
                              "model.patch_frames=5",
                              "model.patch_bands=8",
                              "model.attention={heads: 2, causal: false, position: learned}",
                              "model.dropout=0.1",
                              "moe.experts=4",
                              "moe.d_ff=16",
                              "data.path=" + folder.path() + "/sounds",
                              "data.audio={rate: 8000, seconds: 0.2, bands: 16}",
                              "data.augment={time_shift: 20, snr: 20, mask_time: 20, mask_bands: 2}",
                              "train.batch=16",
                              "train.steps=40",
                              "train.learning_rate={kind: constant, value: 0.005}",
                              "log.every=1",
                              "evaluate.every=10",
                              "checkpoint.every=10"} +
                    assignments);
  }
  std::vector<Json> records(const std::string& type, const std::string& run = "run") const {
    return records_of(folder / run, type);
  }
  std::string checkpoint_file(const std::string& name, const std::string& run = "run") const {
    return read_file(fmt::format("{}/{}/checkpoints/step_00000040/{}", folder.path(), run, name));
  }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("a MoE learns small sounds, moe-eval reports its accuracy by class, moe-inspect its experts", "[slow]") {
  const Sounds sounds;
  const Finished trained = run_child(sounds.train());
  INFO(trained.err);
  REQUIRE(trained.code == 0);
  CHECK(trained.err.find("96 train, 24 validation, 24 test sounds") != std::string::npos);
  const auto steps = sounds.records("train");
  REQUIRE(steps.size() == 40);
  CHECK(steps[0]["tokens"] == 16 * 8);
  CHECK(sounds.records("eval").back()["accuracy"].get<double>() > 0.9);

  const std::string run = sounds.folder / "run";
  const Finished json = run_child(program("moe-eval") + Arguments{run, "--json", "--by-class"});
  INFO(json.err);
  REQUIRE(json.code == 0);
  const auto parsed = parse_json(json.out);
  CHECK(parsed["accuracy"].get<double>() > 0.9);
  CHECK(parsed["tokens"] == 24);
  const Json& classes = parsed["classes"];
  CHECK(classes["names"] == Json({"high", "low", "mid"}));
  double right = 0;
  int64_t all = 0;
  for (size_t label = 0; label < 3; ++label) {
    right += 8 * classes["accuracy"][label].get<double>();
    for (size_t taken = 0; taken < 3; ++taken) all += classes["confusion"][label][taken].get<int64_t>();
  }
  CHECK(right == Approx(24 * parsed["accuracy"].get<double>()));
  CHECK(all == 24);
  // Neither the batch size nor the number of ranks changes the counts.
  const Finished ranks =
      run_child(mpirun(2) + program("moe-eval") + Arguments{run, "--json", "--by-class", "--batch", "7"});
  INFO(ranks.err);
  CHECK(parse_json(ranks.out)["classes"] == classes);
  CHECK(
      run_child(program("moe-eval") + Arguments{run, "--by-class", "--split", "validation"}).err.find("100.00%  low") !=
      std::string::npos);

  const Finished report = run_child(program("moe-inspect") + Arguments{run});
  INFO(report.err);
  REQUIRE(report.code == 0);
  CHECK(report.out.find("classes that the experts of layer 1 get most") != std::string::npos);
  const std::string html = read_file(run + "/report.html");
  CHECK(html.find("Experts by class") != std::string::npos);
  CHECK(html.find("frequency over time, for each expert") != std::string::npos);
  CHECK(html.find("nan") == std::string::npos);
  const auto use = parse_json(run_child(program("moe-inspect") + Arguments{run, "--json", "--no-html"}).out).at("use");
  CHECK(use["grid"]["rows"] == 2);
  CHECK(use["grid"]["columns"] == 4);
  for (const Json& layer : use["layers"]) {
    REQUIRE(layer["by_class"].size() == 3);
    REQUIRE(layer["by_place"].size() == 8);
    for (const char* by : {"by_class", "by_place"}) {
      for (const Json& shares : layer[by]) {
        double sum = 0;
        for (const Json& share : shares) sum += share.get<double>();
        CHECK(sum == Approx(1));
      }
    }
  }
}

TEST_CASE("a resumed run on sounds equals an uninterrupted one, and ranks read the same sounds", "[slow]") {
  const Sounds whole, parts;
  const Arguments fixed = {"model.pooling=class_token",
                           "curriculum.sampler={kind: buckets, mix: {easy: 1, medium: 1, hard: 1}, revisit: 0.2}",
                           "curriculum.signals={loss: 1, entropy: 0.5}"};
  REQUIRE(run_child(whole.train(fixed)).code == 0);
  REQUIRE(run_child(parts.train(fixed + Arguments{"train.steps=20"})).code == 0);
  const Finished resumed = run_child(parts.train(fixed));
  INFO(resumed.err);
  REQUIRE(resumed.code == 0);
  for (const char* file : {"model.safetensors", "difficulty.bin", "samples.json"}) {
    INFO(file);
    CHECK(whole.checkpoint_file(file) == parts.checkpoint_file(file));
  }
  const auto expected = whole.records("train");
  const Finished two = run_child(mpirun(2) + whole.train(fixed + Arguments{"name=ranks"}));
  INFO(two.err);
  REQUIRE(two.code == 0);
  const auto found = whole.records("train", "ranks");
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i)
    CHECK(found[i]["loss"].get<double>() == Approx(expected[i]["loss"].get<double>()).epsilon(2e-3));
  // The easiest and hardest sounds are shown as pictures of their spectrograms.
  const Finished shown = run_child(program("moe-inspect") + Arguments{"curriculum", whole.folder / "run", "--json"});
  INFO(shown.err);
  REQUIRE(shown.code == 0);
  const std::string hardest = parse_json(shown.out)["hardest"][0]["description"].get<std::string>();
  CHECK((hardest == "high" || hardest == "mid" || hardest == "low"));
  // Other sounds belong to another run.
  write_sound_folders(parts.folder / "sounds", 48, 2);
  CHECK(run_child(parts.train(fixed + Arguments{"train.steps=60"})).code == 4);
}

TEST_CASE("settings and sounds that a run cannot use are refused with the right exit code", "[slow]") {
  const Sounds sounds;
  const auto code = [&](const Arguments& more) { return run_child(sounds.train(more) + Arguments{"--dry-run"}).code; };
  CHECK(code({}) == 0);
  for (const char* wrong : {"model.patch_frames=3", "model.patch_bands=5", "data.augment.flip=true",
                            "data.audio.bands=200", "data.audio.highest=5000", "moe.router=hash", "sample.every=5"}) {
    INFO(wrong);
    CHECK(code({wrong}) == 2);
  }
  REQUIRE(run_child(sounds.train({"train.steps=2"})).code == 0);
  const std::string run = sounds.folder / "run";
  // A text has no classes.
  REQUIRE(run_child(tiny_train(sounds.folder / "text", {"train.steps=2"})).code == 0);
  CHECK(run_child(program("moe-eval") + Arguments{sounds.folder / "text/run", "--by-class"}).code == 2);
  // Other classes, and a broken file.
  write_sound_folders(sounds.folder / "other", 6);
  fs::rename(sounds.folder / "other/low", sounds.folder / "other/lower");
  write_bytes(sounds.folder / "other/validation_list.txt", "");
  write_bytes(sounds.folder / "other/testing_list.txt", "");
  const Finished other = run_child(program("moe-eval") + Arguments{run, "--data", sounds.folder / "other"});
  CHECK(other.code == 3);
  CHECK(other.err.find("lower") != std::string::npos);
  fs::resize_file(sounds.folder / "sounds/low/0.wav", 100);
  const Finished broken = run_child(sounds.train({"name=second"}));
  CHECK(broken.code == 3);
  CHECK(broken.err.find("low/0.wav is truncated") != std::string::npos);
}

TEST_CASE("an archive with the layout of Speech Commands is fetched from a mirror, checked and trained on", "[slow]") {
  const TemporaryFolder folder;
  const std::string layout = folder / "layout";
  write_sound_folders(layout, 12);
  fs::create_directories(layout + "/_background_noise_");
  write_bytes(layout + "/_background_noise_/hum.wav", wav_bytes(tone(50, 1), 16000));
  write_bytes(layout + "/README.md", "made up");
  const std::string archive = folder / "speech_commands_v0.02.tar.gz";
  done({"/bin/sh", "-c", "tar -czf " + archive + " -C " + layout + " ."});
  const std::string sum = done({"/usr/bin/sha256sum", archive}).out.substr(0, 64);
  const auto fetch = [&](const std::string& checksum) {
    return run_child({"/usr/bin/env", "MOE_MIRROR=file://" + folder.path(), "MOE_SHA256=" + checksum,
                      MOE_SCRIPTS "/fetch_data", "speech_commands", folder / "fetched"});
  };
  const Finished wrong = fetch(std::string(64, '0'));
  CHECK(wrong.code == 3);
  CHECK(wrong.err.find("has checksum") != std::string::npos);
  const Finished fetched = fetch(sum);
  INFO(fetched.err);
  REQUIRE(fetched.code == 0);
  CHECK(fs::exists(folder / "fetched/low/0.wav"));
  CHECK(fetch(sum).err.find("is complete") != std::string::npos);
  const Finished trained =
      run_child(program("moe-train") + Arguments{"-c", MOE_CONFIGS "/audio/speech_commands.yaml"} +
                settings({"folder=" + folder.path(), "data.path=" + (folder / "fetched"), "model.layers=1",
                          "model.d_model=12", "moe.d_ff=8", "train.steps=2", "train.batch=4", "parallel.threads=1"}));
  INFO(trained.err);
  CHECK(trained.code == 0);
  CHECK(trained.err.find("24 train, 6 validation, 6 test") != std::string::npos);
}

// A program that stands for espeak-ng: it writes a WAV file of a length that depends on the text.
TEST_CASE("spoken digits are made with voices that are held out, the same at every call", "[slow]") {
  const TemporaryFolder folder;
  write_bytes(folder / "tone.wav", wav_bytes(tone(440, 0.3, 22050), 22050));
  fs::create_directories(folder / "bin");
  const std::string fake = folder / "bin/espeak-ng";
  write_bytes(fake,
              "#!/bin/sh\n[ \"$1\" != --version ] || { echo version; exit 0; }\n"
              "echo \"$*\" >>" +
                  (folder / "calls") + "\ncat " + (folder / "tone.wav") + "\n");
  fs::permissions(fake, fs::perms::owner_all);
  const auto make = [&](const std::string& name, const std::string& options = "") {
    return run_child({"/bin/sh", "-c",
                      "PATH=" + (folder / "bin") + ":$PATH; " MOE_SCRIPTS "/make_spoken_digits --small --jobs 2 " +
                          options + (folder / name)});
  };
  const Finished made = make("a");
  INFO(made.err);
  REQUIRE(made.code == 0);
  REQUIRE(make("b").code == 0);
  std::set<std::string> held_out;
  for (const char* list : {"validation_list.txt", "testing_list.txt"}) {
    std::ifstream file(folder / (std::string("a/") + list));
    for (std::string line; std::getline(file, line);) held_out.insert(line);
  }
  CHECK(held_out.size() == 40);
  int64_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder / "a")) {
    if (entry.path().extension() != ".wav") continue;
    ++files;
    const std::string name = fs::relative(entry.path(), folder / "a").string();
    const bool is_held_out = name.find("+m2_") != std::string::npos || name.find("+m6_") != std::string::npos;
    CHECK(held_out.contains(name) == is_held_out);
    CHECK(read_file(entry.path().string()) == read_file(folder / ("b/" + name)));
  }
  CHECK(files == 120);
  CHECK(read_file(folder / "a/one/en-us+m1_0.wav") != read_file(folder / "a/one/en-us+m1_1.wav"));  // the noise
  CHECK(make("a").err.find("exists") != std::string::npos);
  REQUIRE(make("c", "--figures ").code == 0);
  CHECK(read_file(folder / "a/one/en-us+m1_0.wav") == read_file(folder / "c/1/en-us+m1_0.wav"));
}
