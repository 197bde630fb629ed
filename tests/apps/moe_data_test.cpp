#include <filesystem>

#include "data/corpus.h"
#include "data/posix_file.h"
#include "tests/apps/programs.h"
#include "tests/support/catch.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
namespace fs = std::filesystem;

static std::string sample_text() {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "to be or not to be " + std::to_string(i) + "\n";
  return text;
}

// Runs a line of the shell, in which $D is moe-data.
static Finished shell(const std::string& line) {
  return run_child({"/bin/sh", "-c", "D=" + program("moe-data").front() + "; " + line});
}

TEST_CASE("moe-data verify ends with 0, or with 4 and the name of the changed file") {
  const TemporaryFolder folder;
  write_text_file(folder / "text", sample_text());
  const std::string corpus = folder / "corpus";
  REQUIRE(shell("$D prepare -i " + folder / "text" + " -o " + corpus).code == 0);
  const Finished good = shell("$D verify " + corpus);
  CHECK(good.code == 0);
  for (const char* file : {"corpus.json", "train.bin", "validation.bin", "test.bin"})
    CHECK_THAT(good.out, Catch::Contains(corpus + "/" + file + ": as it was prepared"));
  // A changed token, a changed header, a changed description, a file that was cut, one that is absent.
  const std::vector<std::pair<std::string, std::string>> damages = {
      {"train.bin", "printf X | dd of=$F bs=1 seek=3000 conv=notrunc"},
      {"test.bin", "printf X | dd of=$F bs=1 seek=1 conv=notrunc"},
      {"test.bin", "printf X | dd of=$F bs=1 seek=700 conv=notrunc"},
      {"corpus.json", "sed -i s/byte/bite/ $F"},
      {"corpus.json", "sed -i s/text/taxt/ $F"},
      {"validation.bin", "truncate -s -1 $F"},
      {"validation.bin", "rm $F"}};
  for (const auto& [file, damage] : damages) {
    INFO(damage);
    const std::string path = corpus + "/" + file;
    REQUIRE(shell("cp -r " + corpus + " " + folder / "whole" + "; F=" + path + "; " + damage).code == 0);
    const Finished bad = shell("$D verify " + corpus);
    CHECK(bad.code == 4);
    CHECK_THAT(bad.err, Catch::Contains(path));
    fs::remove_all(corpus);
    fs::rename(folder / "whole", corpus);
  }
  const Finished shards = shell("$D verify " + corpus + "/train.bin --vocab-size 256");
  CHECK(shards.code == 0);
  CHECK_THAT(shards.out + shards.err, Catch::Contains("no hash of it was recorded"));
  CHECK(shell("$D verify " + folder / "absent").code == 3);
  CHECK(shell("$D verify " + folder / "text").code == 3);
}

TEST_CASE("moe-data prepare reads pipes and standard input as it reads files") {
  const TemporaryFolder folder;
  write_text_file(folder / "text", sample_text());
  write_text_file(folder / "text.xz", compressed(sample_text(), "xz"));
  REQUIRE(shell("$D prepare -i " + folder / "text" + " -o " + folder / "file").code == 0);
  const uint64_t expected = Corpus::open(folder / "file").split("train").content_hash();
  const std::vector<std::string> ways = {
      "cat $T | $D prepare -i - -o $O",          "cat $T.xz | $D prepare -i - -o $O",
      "cat $T | $D prepare -i /dev/stdin -o $O", "$D prepare -i - -o $O <$T",
      "$D prepare -i /dev/stdin -o $O <$T.xz",   "mkfifo $O.fifo; cat $T >$O.fifo & $D prepare -i $O.fifo -o $O"};
  for (size_t i = 0; i < ways.size(); ++i) {
    INFO(ways[i]);
    const std::string output = folder / std::to_string(i);
    const Finished result = shell("T=" + folder / "text" + "; O=" + output + "; " + ways[i]);
    INFO(result.err);
    REQUIRE(result.code == 0);
    CHECK(Corpus::open(output).split("train").content_hash() == expected);
  }
  const Finished empty = shell(": | $D prepare -i - -o " + folder / "empty");
  CHECK(empty.code == 3);
  CHECK_THAT(empty.err, Catch::Contains("-: empty"));
  const Finished nowhere =
      shell("cat " + folder / "text" + " | TMPDIR=/nowhere $D prepare -i - -o " + folder / "empty");
  CHECK(nowhere.code == 3);
  CHECK_THAT(nowhere.err, Catch::Contains("set TMPDIR"));
}

TEST_CASE("several processes that prepare one output make it once") {
  const TemporaryFolder folder;
  write_text_file(folder / "text", sample_text());
  const std::string output = folder / "corpus";
  const Finished result = shell("for i in 1 2 3 4 5; do ($D prepare -i " + folder / "text" + " -o " + output +
                                " --tokenizer word; echo code $?) & done; wait");
  INFO(result.err);
  size_t ends = 0;
  for (size_t at = result.out.find("code 0"); at != std::string::npos; at = result.out.find("code 0", at + 1)) ++ends;
  CHECK(ends == 5);
  CHECK_THAT(result.err, Catch::Contains("is already prepared"));
  Corpus::open(output).verify();
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 2);
}
