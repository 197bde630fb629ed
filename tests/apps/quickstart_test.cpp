// scripts/quickstart where nothing can be fetched: it falls back to a random source, and its final numbers are per
// token.
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/apps/programs.h"
#include "tests/support/catch.h"

using namespace moe;
namespace fs = std::filesystem;

// A repository with the real scripts and already built programs, on a machine without a network.
struct OfflineRepository : TemporaryFolder {
  OfflineRepository() {
    fs::create_directory_symlink(MOE_SCRIPTS, *this / "scripts");
    fs::create_directories(*this / "build");
    fs::create_directory_symlink(MOE_PROGRAMS, *this / "build/bin");
    // The real configuration, reduced in size.
    fs::create_directories(*this / "configs");
    std::ofstream(*this / "configs/quickstart.yaml")
        << "model: {layers: 1, d_model: 32, attention: {heads: 2}}\nmoe: {experts: 4, d_ff: 32}\n"
           "parallel: {threads: 1}\ndata: {path: corpora/gcide/byte, sequence: 32}\ntrain: {steps: 150, batch: 8}\n"
           "evaluate: {every: 50%, tokens: 5000}\nsample: {every: 50%, tokens: 30}\nlog: {every: 50}\n";
    fs::create_directories(*this / "programs");
    for (const char* name : {"curl", "wget", "apt-get", "sudo"}) replace(name, "exit 1");
    replace("cmake", "exit 0");  // everything is built
  }
  void replace(const std::string& name, const std::string& body) const {
    const std::string path = *this / ("programs/" + name);
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    fs::permissions(path, fs::perms::owner_all);
  }
  Finished quickstart() const {
    const std::string path = *this / "programs" + ":" + getenv("PATH");
    return ChildProcess({*this / "scripts/quickstart"},
                        [&] {
                          setenv("PATH", path.c_str(), 1);
                          unsetenv("SUDO_USER");
                        })
        .wait();
  }
};

TEST_CASE("scripts/quickstart succeeds without a network, and reports that there was no text", "[slow]") {
  const OfflineRepository place;
  const Finished first = place.quickstart();
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK_THAT(first.err, Catch::Contains("NO TEXT COULD BE FETCHED"));
  CHECK_THAT(first.err, Catch::Contains("bits per token of held-out synthetic"));
  CHECK_THAT(first.err, Catch::Contains("The model is better than gzip -9."));
  CHECK_THAT(first.err, !Catch::Contains("bpc inf"));
  CHECK_THAT(read_file(place / "runs/quickstart_synthetic/metrics.jsonl"), !Catch::Contains("\"bpc\":null"));
  CHECK(fs::exists(place / "runs/quickstart_synthetic/report.html"));
  // Called again: it does not train, and prints the same results.
  const Finished again = place.quickstart();
  CHECK(again.code == 0);
  CHECK_THAT(again.err, Catch::Contains("(resumed)"));
}
