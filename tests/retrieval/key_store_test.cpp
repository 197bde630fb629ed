#include "core/retrieval/key_store.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "core/base/error.h"
#include "tests/retrieval/sample_store.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;
using namespace moe::test;
namespace fs = std::filesystem;

static std::vector<float> keys_of(const KeyStore& store) {
  std::vector<float> keys(as_index(store.size() * store.width()));
  store.read_keys(0, store.size(), keys);
  return keys;
}

TEST_CASE("a store gives back what was written, in each number format") {
  const TemporaryFolder folder;
  const KeyedTokens tokens = random_entries(100, 6);
  for (const auto& [format, tolerance] :
       {std::pair{NumberFormat::f32, 0.0}, {NumberFormat::f16, 1e-3}, {NumberFormat::bf16, 1e-2}}) {
    const std::string path = folder / name_of(format);
    write_sample_store(path, tokens, format);
    const KeyStore store(path);
    store.verify();
    REQUIRE(store.size() == 100);
    REQUIRE(store.width() == 6);
    CHECK(store.facts().format == format);
    CHECK(store.facts().split == "train");
    CHECK(store.facts().num_documents == 2);
    const std::vector<float> keys = keys_of(store);
    for (size_t i = 0; i < keys.size(); ++i) REQUIRE(std::abs(keys[i] - tokens.keys[i]) <= tolerance);
    for (int64_t i = 0; i < 100; ++i) {
      CHECK(store.next(i) == tokens.next[as_index(i)]);
      CHECK(store.position(i) == tokens.positions[as_index(i)]);
    }
  }
}

TEST_CASE("a store that is written in pieces has the bytes of one that is written at once") {
  const TemporaryFolder folder;
  const KeyedTokens first = random_entries(40, 4, 1), second = random_entries(30, 4, 2);
  KeyedTokens both = first;
  both.keys.insert(both.keys.end(), second.keys.begin(), second.keys.end());
  both.next.insert(both.next.end(), second.next.begin(), second.next.end());
  both.positions.insert(both.positions.end(), second.positions.begin(), second.positions.end());
  write_store(folder / "pieces", sample_facts(), [&](const StoreSink& add) { add(first), add({}), add(second); });
  write_sample_store(folder / "whole", both);
  CHECK(KeyStore(folder / "pieces").hash() == KeyStore(folder / "whole").hash());
}

TEST_CASE("a store that is damaged, truncated or incomplete is refused") {
  const TemporaryFolder folder;
  const std::string path = folder / "store";
  const auto write = [&] {
    fs::remove_all(path);
    write_sample_store(path, random_entries(50, 4));
  };
  const auto refused = [&](const std::string& reason) {
    CHECK_THROWS_WITH(KeyStore(path).verify(), Catch::Contains(reason));
    CHECK_THROWS_AS(KeyStore(path).verify(), CheckpointError);
  };
  for (const char* name : {"keys.bin", "next.bin", "positions.bin"}) {
    INFO(name);
    write();
    fs::resize_file(path + "/" + name, fs::file_size(path + "/" + name) - 1);
    refused("bytes");
    write();
    std::fstream(path + "/" + name, std::ios::in | std::ios::out | std::ios::binary).seekp(5).put('\x7f');
    refused("its content is not what was written");
    write();
    fs::remove(path + "/" + name);
    refused("cannot open");
  }
  write();
  std::fstream(path + "/store.json", std::ios::in | std::ios::out | std::ios::binary).seekp(40).put('!');
  refused("store.json");
  fs::remove(path + "/store.json");
  refused("store.json");
}

TEST_CASE("a store that cannot be completed leaves nothing under its name") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(write_store(folder / "store", sample_facts(),
                              [&](const StoreSink& add) {
                                add(random_entries(5, 4));
                                throw DataError("the text ended");
                              }),
                  DataError);
  CHECK(fs::is_empty(folder.path()));
  KeyedTokens large = random_entries(5, 4);
  large.keys[3] = 70000;
  CHECK_THROWS_WITH(write_sample_store(folder / "store", large, NumberFormat::f16), Catch::Contains("bf16"));
  write_sample_store(folder / "store", large, NumberFormat::bf16);
  CHECK_THROWS_WITH(write_sample_store(folder / "store", large), Catch::Contains("not an empty folder"));
}

TEST_CASE("a store of another model or vocabulary is refused") {
  const TemporaryFolder folder;
  write_sample_store(folder / "store", random_entries(5, 4));
  const KeyStore store(folder / "store");
  store.require("m", "v");
  CHECK_THROWS_WITH(store.require("m", "w"), Catch::Contains("another tokenizer"));
  CHECK_THROWS_WITH(store.require("n", "v"), Catch::Contains("another model"));
}
