#include "data/corpus.h"

#include <filesystem>
#include <numeric>

#include "core/base/integer.h"
#include "data/posix_file.h"
#include "data/token_writer.h"
#include "tests/data/tiny_byte_pairs.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

// Writes the tokens first, first + 1, ... and returns the path.
std::string write_shard(const std::string& path, int32_t first, int64_t count, int64_t vocab_size = 1000) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  std::iota(tokens.begin(), tokens.end(), first);
  TokenWriter writer(path, vocab_size);
  writer.write(tokens);
  writer.finish();
  return path;
}

std::vector<int32_t> all_tokens(const Split& split) {
  std::vector<int32_t> tokens(static_cast<size_t>(split.num_tokens()));
  split.read(0, split.num_tokens(), tokens.data());
  return tokens;
}

}  // namespace

TEST_CASE("shards are read as one sequence, however they are cut") {
  const TemporaryFolder folder;
  write_shard(folder / "x_train_000.bin", 0, 10);
  write_shard(folder / "x_train_001.bin", 10, 1);
  write_shard(folder / "x_train_002.bin", 11, 0);
  write_shard(folder / "x_train_003.bin", 11, 9);
  write_shard(folder / "x_val_000.bin", 100, 5);
  write_shard(folder / "x_test_000.bin", 200, 3);
  for (const std::string& path : {folder.path(), folder / "x_*.bin"}) {
    const Corpus corpus = Corpus::open(path, {1000, 0.05});
    const Split& train = corpus.split("train");
    REQUIRE(train.num_tokens() == 20);
    CHECK_FALSE(train.raw_bytes().has_value());
    for (int64_t begin = 0; begin <= 20; ++begin) {
      for (int64_t count = 0; begin + count <= 20; ++count) {
        std::vector<int32_t> tokens(static_cast<size_t>(count));
        train.read(begin, count, tokens.data());
        for (int64_t i = 0; i < count; ++i) REQUIRE(tokens[as_index(i)] == begin + i);
      }
    }
    CHECK(train.at(10) == 10);
    CHECK(all_tokens(corpus.split("validation")) == std::vector<int32_t>{100, 101, 102, 103, 104});
    CHECK(all_tokens(corpus.split("test")) == std::vector<int32_t>{200, 201, 202});
    CHECK_THROWS_WITH(corpus.split("dev"), Catch::Contains("train, validation, test"));
  }
}

#if MOE_HAS_PCRE2
TEST_CASE("shards with a named tokenizer are text") {
  const TemporaryFolder folder;
  const std::string path = write_shard(folder / "a.bin", 250, 13, 263);
  const std::string vocabulary = write_tiny_byte_pairs(folder);
  const Corpus corpus = Corpus::open(path, {.validation_share = 0, .tokenizer = vocabulary});
  const Split& train = corpus.split("train");
  CHECK(corpus.vocab_size() == 263);
  CHECK(corpus.tokenizer().decode(std::vector<int32_t>{256}) == "to");
  CHECK_FALSE(train.raw_bytes().has_value());
  CHECK(train.raw_bytes(0, 13) == 6 + 2 + 2 + 3 + 2 + 3 + 2 + 0);
  CHECK(train.bytes_per_token() == Approx(20.0 / 13));
  CHECK_THROWS_WITH(Corpus::open(path, {.vocab_size = 50257, .tokenizer = vocabulary}), Catch::Contains("has 263"));
  CHECK_THROWS_AS(Corpus::open(path, {.tokenizer = folder / "nowhere"}), DataError);
}
#endif

TEST_CASE("the tail of the training tokens is used where there is no validation file") {
  const TemporaryFolder folder;
  write_shard(folder / "a.bin", 0, 100);
  write_shard(folder / "b.bin", 100, 3);
  const Corpus both = Corpus::open(folder.path());
  CHECK(both.vocab_size() == 50257);
  CHECK(both.split("train").num_tokens() == 98);
  CHECK(all_tokens(both.split("validation")) == std::vector<int32_t>{98, 99, 100, 101, 102});
  CHECK_FALSE(both.has_split("test"));

  const Corpus one = Corpus::open(write_shard(folder / "val_only_name.bin", 0, 40));
  CHECK(one.split("train").num_tokens() == 38);
}

TEST_CASE("the content hash depends on the tokens, not on how they are stored") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "one");
  std::filesystem::create_directories(folder / "two");
  write_shard(folder / "one/a.bin", 0, 100'000, 100'000);
  write_shard(folder / "two/a.bin", 0, 30'001, 65'536);
  write_shard(folder / "two/b.bin", 30'001, 35'000, 65'536);
  const CorpusOptions whole = {100'000, 0};
  const Corpus one = Corpus::open(folder / "one", whole);
  const Corpus two = Corpus::open(folder / "two", whole);
  CHECK(one.split("train").slice("x", 0, 65'001).content_hash() == two.split("train").content_hash());
  CHECK(one.split("train").content_hash() != two.split("train").content_hash());
  CHECK(one.split("train").slice("x", 1, 65'001).content_hash() != two.split("train").content_hash());
}

TEST_CASE("an invalid corpus is a data error") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(Corpus::open(folder / "absent"), Catch::Contains("no such corpus"));
  CHECK_THROWS_WITH(Corpus::open(folder.path()), Catch::Contains("neither a prepared corpus"));
  write_shard(folder / "x_val_0.bin", 0, 5);
  write_shard(folder / "x_val_1.bin", 0, 5);
  CHECK_THROWS_WITH(Corpus::open(folder.path()), Catch::Contains("no training tokens"));
  write_shard(folder / "x_0.bin", 0, 5, 70'000);
  CHECK_THROWS_WITH(Corpus::open(folder.path()), Catch::Contains("must agree"));

  const Corpus narrow = Corpus::open(write_shard(folder / "y.bin", 0, 100), {50, 0.05});
  CHECK_THROWS_AS(narrow.split("train").at(60), DataError);
  CHECK_THROWS_AS(narrow.verify(), DataError);
}

TEST_CASE("a broken corpus.json is a data error that names it") {
  const TemporaryFolder folder;
  for (const char* text :
       {"", "{", "[]", "{}", R"({"format":"other","version":1})", R"({"format":"moe-corpus","version":2})",
        R"({"format":"moe-corpus","version":1,"name":"x"})"}) {
    INFO(text);
    write_text_file(folder / "corpus.json", text);
    CHECK_THROWS_AS(Corpus::open(folder.path()), DataError);
    CHECK_THROWS_WITH(Corpus::open(folder.path()), Catch::Contains(folder / "corpus.json"));
  }
}

}  // namespace moe
