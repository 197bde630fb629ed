#include "core/config/input_paths.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/config/config_reader.h"
#include "core/config/config_tree.h"
#include "core/config/config_writer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

// A working folder and a folder with a configuration.
struct Folders {
  Folders() : before(fs::current_path()) {
    fs::create_directories(folder / "here");
    fs::create_directories(folder / "configs");
    fs::current_path(folder / "here");
  }
  ~Folders() { fs::current_path(before); }
  TrainConfig read(const std::string& yaml, const std::string& file = "../configs/my.yaml") const {
    write(file, yaml);
    TrainConfig config;
    read_config(read_config_file(file), config);
    return config;
  }
  TrainConfig located(const std::string& yaml, const std::string& file = "../configs/my.yaml") const {
    TrainConfig config = read(yaml, file);
    locate_inputs(config);
    return config;
  }
  // mkdtemp's folder may be behind a link.
  std::string full(const std::string& path) const { return fs::canonical(folder.path()).string() + "/" + path; }
  TemporaryFolder folder;
  fs::path before;
};

}  // namespace

TEST_CASE("inputs are looked for in the current folder, then in that of the configuration file") {
  const Folders folders;
  write("../configs/corpora/mine/x", "");
  TrainConfig config = folders.located("data: {path: corpora/mine}");
  CHECK(config.data.path == "corpora/mine");
  CHECK(fs::equivalent(config.data.location(), folders.full("configs/corpora/mine")));
  CHECK(fs::path(config.data.location()).is_absolute());

  write("corpora/mine/x", "");
  config = folders.located("data: {path: corpora/mine}");
  CHECK(config.data.path == "corpora/mine");
  CHECK(fs::equivalent(config.data.location(), folders.full("here/corpora/mine")));

  // Patterns name files, too.
  write("../configs/shards/a_1.bin", "");
  CHECK(folders.located("data: {path: 'shards/a_*.bin'}").data.location().ends_with("/configs/shards/a_*.bin"));
  // What is recorded of an earlier place does not count.
  CHECK(fs::equivalent(folders.located("data: {path: corpora/mine, path_absolute: /nowhere}").data.location(),
                       folders.full("here/corpora/mine")));
  CHECK(folders.located("data: {path: synthetic}").data.location() == "synthetic");
}

TEST_CASE("a run's copy of its configuration is no place to look in") {
  const Folders folders;
  write("../runs/a/config.yaml", "");
  write("../runs/a/mine/x", "");
  write("../runs/a/checkpoints/step_1/state.json", "");
  write("../runs/a/checkpoints/step_1/mine/x", "");
  for (const char* file : {"../runs/a/config.yaml", "../runs/a/checkpoints/step_1/config.yaml"}) {
    CHECK_THROWS_AS(folders.located("data: {path: mine, path_absolute: /elsewhere/mine}", file), DataError);
    CHECK_THROWS_WITH(folders.located("data: {path: mine, path_absolute: /elsewhere/mine}", file),
                      Catch::Contains("mine is not there") && Catch::Contains("read /elsewhere/mine"));
  }
  CHECK_THROWS_WITH(folders.located("data: {path: mine}"), Catch::Contains("my.yaml:1: data.path") &&
                                                               Catch::Contains("/here nor in ") &&
                                                               Catch::Contains("/configs, "));
}

TEST_CASE("other inputs are found as data.path is") {
  const Folders folders;
  write("../configs/vocabulary/x", "");
  write("../configs/runs/a/config.yaml", "");
  const std::string yaml =
      "data: {tokenizer: vocabulary, labelled: {vocabulary: vocabulary}}\ninit: {from: runs/a}\ncurriculum: {from: "
      "runs/a}";
  TrainConfig config = folders.located(yaml);
  CHECK(config.data.tokenizer == "vocabulary");
  CHECK(fs::equivalent(config.data.tokenizer_location(), "../configs/vocabulary"));
  CHECK(fs::equivalent(config.data.labelled.vocabulary, "../configs/vocabulary"));
  CHECK(fs::equivalent(folders.located("data: {labelled: {tokenizer: vocabulary}}").data.labelled.tokenizer,
                       "../configs/vocabulary"));
  CHECK(folders.located("data: {labelled: {tokenizer: word}}").data.labelled.tokenizer == "word");
  // The corpora of a mixture become absolute, wherever they are, so that a run's copy names them from any folder.
  write("here/x", "");
  const std::vector<std::string> with =
      folders.located("data: {mixture: {with: [vocabulary, here]}}").data.mixture.with;
  REQUIRE(with.size() == 2);
  CHECK(fs::equivalent(with[0], "../configs/vocabulary"));
  CHECK(fs::equivalent(with[1], "here"));
  CHECK(fs::path(with[1]).is_absolute());
  CHECK(fs::equivalent(config.init.from, "../configs/runs/a"));
  CHECK(fs::equivalent(config.curriculum.from, "../configs/runs/a"));
  write("runs/a/config.yaml", "");
  config = folders.located(yaml);
  CHECK(config.init.from == "runs/a");
  config = folders.located("init: {from: absent}");  // its reader refuses it
  CHECK(config.init.from == "absent");
}

TEST_CASE("a run that is read again uses the absolute path while something is there") {
  const Folders folders;
  write("here_too/x", "");
  DataConfig data;
  data.path = "here_too", data.path_absolute = folders.full("configs");
  locate_again(data);
  CHECK(data.location() == folders.full("configs"));
  data.path_absolute = "/nowhere/at/all";
  locate_again(data);
  CHECK(data.location() == "here_too");
  data.path = "neither", data.path_absolute = "/nowhere/at/all";
  locate_again(data);
  CHECK(data.location() == "/nowhere/at/all");  // for the error
  data.use("other");
  CHECK(data.location() == "other");
}

}  // namespace moe
