// A folder with configurations of tiny models, which moe-study and the scripts that call it train in milliseconds.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "core/base/json_text.h"
#include "tests/apps/programs.h"

namespace moe {

// Programs are those of this build, with what `folder` holds in their place.
inline std::function<void()> with_programs(const std::string& folder = MOE_PROGRAMS) {
  return [folder] { ::setenv("MOE_PROGRAMS", folder.c_str(), 1); };
}

// A base configuration and some that lie over it; "one" and "same" compute the same.
struct StudyPlace : TemporaryFolder {
  StudyPlace() {
    write(
        "base.yaml",
        "parallel: {threads: 1}\nmodel: {layers: 1, d_model: 16, attention: {heads: 2}}\nmoe: {experts: 4, d_ff: 16}\n"
        "data: {sequence: 16, synthetic: {states: 16, train_tokens: 20000, validation_tokens: 2000}}\n"
        "train: {batch: 4, steps: 20}\nlog: {every: 5}\nevaluate: {every: 10, tokens: 500}\n");
    write("one.yaml", "moe: {router: {kind: topk, k: 2}}\n");
    write("same.yaml", "moe: {router: {kind: topk, k: 2}}\n");
    write("other.yaml", "moe: {router: {kind: topk, k: 3}}\n");
  }
  void write(const std::string& file, const std::string& text) const { std::ofstream(*this / file) << text; }

  std::string runs() const { return *this / "runs"; }
  std::string run(const std::string& name) const { return runs() + "/" + name; }
  Json result() const { return parse_json(read_file(runs() + "/compare.json")); }
  Arguments compare(const std::string& seeds, const Arguments& configs, const Arguments& options = {}) const {
    Arguments arguments =
        Arguments{MOE_SCRIPTS "/compare", "-o", runs(), "-s", seeds, "-b", *this / "base.yaml"} + options;
    for (const std::string& config : configs) arguments.push_back(*this / config);
    return arguments;
  }
  // A folder with the programs, in which each training, but no dry run, first executes this line of shell.
  std::string programs(const std::string& before_training) const {
    const std::string folder = *this / "bin";
    std::filesystem::create_directories(folder);
    for (const char* name : {"/moe-inspect", "/moe-study"})
      std::filesystem::create_symlink(std::string(MOE_PROGRAMS) + name, folder + name);
    write("bin/moe-train", "#!/bin/sh\ncase \"$*\" in *--dry-run*) ;; *)\n" + before_training +
                               "\n;; esac\nexec " MOE_PROGRAMS "/moe-train \"$@\"\n");
    std::filesystem::permissions(folder + "/moe-train", std::filesystem::perms::owner_all);
    return folder;
  }
};

}  // namespace moe
