// moe-data prepare is killed while it writes, and goes on.
#include <fmt/core.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <regex>

#include "core/base/philox.h"
#include "data/posix_file.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

namespace {

// 40,000 documents of a few words each, some of which are equal, and one in 9,000 that is longer than those that are
// taken over.
std::string documents(uint64_t seed) {
  std::string text;
  const RandomKey key{seed, RandomPurpose::test, 0, 0};
  for (uint64_t i = 0; i < 40'000; ++i) {
    text += "{\"text\": \"";
    const uint64_t words = i % 9000 == 8999 ? 20'000 : 3 + key.bits(32 * i) % 12;
    // Every tenth document begins like the one before.
    const uint64_t own = i - (i % 10 == 9 ? 1 : 0);
    for (uint64_t w = 0; w < words; ++w) text += fmt::format("word{} ", key.bits(32 * own + w % 30 + 2) % 300 + w / 30);
    text += "\"}\n";
  }
  return text;
}

std::map<std::string, std::string> files_of(const std::string& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(folder))
    files[entry.path().filename().string()] = read_text_file(entry.path().string());
  return files;
}

struct Preparation {
  Preparation() { write_text_file(folder / "a.jsonl", documents(1)); }

  Arguments command(const std::string& output, const Arguments& more) const {
    return program("moe-data") + Arguments{"prepare", "-i", folder / "a.jsonl", "-o", folder / output} + more;
  }
  // Prepares `output` and is killed when a file becomes larger than `bytes`.
  void kill(const std::string& output, const Arguments& more, rlim_t bytes) const {
    const Finished killed = run_child(command(output, more), [&] {
      const rlimit limit{bytes, bytes};
      setrlimit(RLIMIT_FSIZE, &limit);
      const rlimit no_core{0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
    });
    INFO(killed.err);
    REQUIRE(killed.code == -SIGXFSZ);
    REQUIRE(fs::exists(folder / (output + ".partial")));
  }
  // Goes on. Returns how many documents were taken over.
  int64_t go_on(const std::string& output, const Arguments& more) const {
    const Finished result = run_child(command(output, more));
    INFO(result.err);
    REQUIRE(result.code == 0);
    CHECK_FALSE(fs::exists(folder / (output + ".partial")));
    CHECK_FALSE(fs::exists(folder / (output + ".interrupted")));
    std::smatch match;
    const bool said = std::regex_search(result.err, match, std::regex("([0-9]+) documents had been encoded"));
    return said ? std::stoll(match[1]) : 0;
  }

  TemporaryFolder folder;
};

}  // namespace

TEST_CASE("a preparation that was killed goes on, and its corpus equals that of one that was not") {
  const Preparation p;
  for (const Arguments& options :
       {Arguments{"--name", "x"},
        Arguments{"--name", "x", "--tokenizer", "bpe", "--vocab-size", "300", "--deduplicate"},
        Arguments{"--name", "x", "--tokenizer", "bpe", "--vocab-size", "280", "--end-of-document", "--entries",
                  "documents", "--hold-out", "10"}}) {
    INFO(options.back());
    REQUIRE(run_child(p.command("straight", options + Arguments{"--force"})).code == 0);
    p.kill("killed", options, 1'500'000);
    CHECK(p.go_on("killed", options) > 1000);
    CHECK(files_of(p.folder / "killed") == files_of(p.folder / "straight"));
    fs::remove_all(p.folder / "killed");
  }
}

TEST_CASE("what a killed preparation left is only taken as far as it is right") {
  const Preparation p;
  const Arguments options{"--name", "x"};
  REQUIRE(run_child(p.command("straight", options)).code == 0);
  const auto expected = files_of(p.folder / "straight");
  // One whose second attempt is killed earlier than the first takes what the first left.
  p.kill("killed", options, 3'000'000);
  p.kill("killed", options, 1'200'000);
  const int64_t taken = p.go_on("killed", options);
  CHECK(taken > 10'000);
  CHECK(files_of(p.folder / "killed") == expected);
  fs::remove_all(p.folder / "killed");
  // Damage: another id, lost bytes, documents that begin elsewhere.
  for (const char* damage :
       {"printf X | dd of=train.bin.partial bs=1 seek=500000 conv=notrunc", "truncate -s 600001 train.bin.partial",
        "head -c 1000000 /dev/zero | dd of=train.bin.partial bs=1000 seek=400 conv=notrunc",
        "printf X | dd of=train.documents.partial bs=1 seek=90000 conv=notrunc"}) {
    INFO(damage);
    p.kill("killed", options, 3'000'000);
    REQUIRE(run_child({"/bin/sh", "-c", "cd " + p.folder / "killed.partial" + " && " + damage}).code == 0);
    const int64_t fewer = p.go_on("killed", options);
    CHECK(fewer > 1000);
    CHECK(fewer < taken);
    CHECK(files_of(p.folder / "killed") == expected);
    fs::remove_all(p.folder / "killed");
  }
  // Another input or other options: nothing is taken.
  p.kill("killed", options, 3'000'000);
  CHECK(p.go_on("killed", {"--name", "x", "--split", "80/10/10"}) == 0);
  fs::remove_all(p.folder / "killed");
  p.kill("killed", options, 3'000'000);
  write_text_file(p.folder / "a.jsonl", documents(2));
  CHECK(p.go_on("killed", options) == 0);
  REQUIRE(run_child(p.command("straight", options + Arguments{"--force"})).code == 0);
  CHECK(files_of(p.folder / "killed") == files_of(p.folder / "straight"));
}
