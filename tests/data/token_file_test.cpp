#include "data/token_file.h"

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "core/base/error.h"
#include "data/posix_file.h"
#include "data/token_writer.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace moe {
namespace {

void write_tokens(const std::string& path, int64_t vocab_size, const std::vector<int32_t>& tokens) {
  TokenWriter writer(path, vocab_size);
  writer.write(tokens);
  writer.finish();
}

std::string file_bytes(int32_t magic, int32_t version, int32_t count, size_t payload_bytes) {
  TokenHeader header = {};
  header[0] = magic;
  header[1] = version;
  header[2] = count;
  return std::string(reinterpret_cast<const char*>(header.data()), sizeof(header)) + std::string(payload_bytes, '\0');
}

}  // namespace

TEST_CASE("tokens survive a round trip through a file, 16 and 32 bits wide") {
  const TemporaryFolder folder;
  const std::string path = folder / "tokens.bin";
  for (const int64_t vocab_size : {int64_t{65536}, int64_t{65537}}) {
    const std::vector<int32_t> tokens = {0, 1, 65535, static_cast<int32_t>(vocab_size - 1), 7};
    write_tokens(path, vocab_size, tokens);
    TokenFile file(path);
    CHECK(file.bytes_per_token() == (vocab_size == 65536 ? 2 : 4));
    REQUIRE(file.num_tokens() == 5);
    TokenFile moved = std::move(file);
    std::vector<int32_t> read(3);
    moved.read(2, 3, read.data());
    CHECK(read == std::vector<int32_t>(tokens.begin() + 2, tokens.end()));
    CHECK(moved.at(1) == 1);
    CHECK_THROWS_AS(moved.read(3, 3, read.data()), InternalError);
  }
}

TEST_CASE("a long stream of tokens written in odd pieces is complete") {
  const TemporaryFolder folder;
  std::vector<int32_t> tokens(1'300'001);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 2654435761u % 70000);
  TokenWriter writer(folder / "tokens.bin", 70000);
  for (size_t begin = 0; begin < tokens.size(); begin += 4099) {
    writer.write(std::span(tokens).subspan(begin, std::min<size_t>(4099, tokens.size() - begin)));
  }
  writer.finish();
  const TokenFile file(folder / "tokens.bin");
  std::vector<int32_t> read(tokens.size());
  file.read(0, static_cast<int64_t>(read.size()), read.data());
  CHECK(read == tokens);
  CHECK(file.payload_hash() == writer.payload_hash());
}

TEST_CASE("a damaged token file is a data error that reports what was found") {
  const TemporaryFolder folder;
  const std::string path = folder / "damaged.bin";
  struct Case {
    std::string bytes;
    const char* message;
  };
  const std::vector<Case> cases = {
      {"", "0 bytes are too few"},
      {std::string(1023, 'x'), "1023 bytes are too few"},
      {file_bytes(12345, 1, 0, 0), "magic 12345"},
      {file_bytes(kTokenFormat16.magic, 7, 0, 0), "version 7; expected version 1"},
      {file_bytes(kTokenFormat32.magic, 1, 0, 0), "version 1; expected version 7"},
      {file_bytes(kTokenFormat16.magic, 1, 10, 18), "truncated by 2 bytes"},
      {file_bytes(kTokenFormat32.magic, 7, 10, 41), "too long by 1 bytes"},
      {file_bytes(kTokenFormat16.magic, 1, -1, 0), "4294967295 tokens"},
  };
  for (const Case& damaged : cases) {
    INFO(damaged.message);
    write_text_file(path, damaged.bytes);
    CHECK_THROWS_AS(TokenFile(path), DataError);
    CHECK_THROWS_WITH(TokenFile(path), Catch::Contains(path) && Catch::Contains(damaged.message));
  }
  CHECK_THROWS_WITH(TokenFile(folder / "absent.bin"), Catch::Contains("No such file"));
  CHECK_THROWS_AS(TokenFile(folder.path()), DataError);
}

TEST_CASE("a token file may have more than 2^31 tokens") {
  const TemporaryFolder folder;
  const std::string path = folder / "large.bin";
  TokenHeader header = {kTokenFormat16.magic, kTokenFormat16.version};
  constexpr int64_t kTokens = (int64_t{1} << 32) + 3;
  set_count(header, kTokens);
  CHECK(header[2] == 3);
  CHECK(header[3] == 1);
  write_text_file(path, std::string(reinterpret_cast<const char*>(header.data()), sizeof(header)));
  std::filesystem::resize_file(path, kTokenHeaderBytes + 2 * kTokens);  // takes no room on the disk
  const TokenFile file(path);
  CHECK(file.num_tokens() == kTokens);
  CHECK(file.at(kTokens - 1) == 0);
  CHECK(file.has_plain_header());
}

TEST_CASE("a token outside the vocabulary is detected when it is read") {
  const TemporaryFolder folder;
  const std::string path = folder / "tokens.bin";
  write_tokens(path, 1000, {1, 2, 999, 3});
  TokenFile file(path);
  file.expect_vocabulary(500);
  CHECK(file.at(1) == 2);
  std::vector<int32_t> read(4);
  CHECK_THROWS_WITH(file.read(0, 4, read.data()),
                    Catch::Contains("token 999 at position 2; expected tokens below 500"));

  write_text_file(path, file_bytes(kTokenFormat32.magic, 7, 1, 0) + "\xFF\xFF\xFF\xFF");
  CHECK_THROWS_WITH(TokenFile(path).at(0), Catch::Contains("token 4294967295"));
}

TEST_CASE("a token file that becomes shorter while it is in use is an error with its name") {
  const TemporaryFolder folder;
  const std::string path = folder / "tokens.bin";
  for (const int64_t vocab_size : {int64_t{1000}, int64_t{100'000}}) {
    write_tokens(path, vocab_size, std::vector<int32_t>(100'000, 7));
    const TokenFile file(path);
    std::vector<int32_t> read(100);
    file.read(99'900, 100, read.data());
    CHECK(read == std::vector<int32_t>(100, 7));
    std::filesystem::resize_file(path, static_cast<uintmax_t>(kTokenHeaderBytes) + 150'001);
    file.read(0, 100, read.data());
    CHECK_THROWS_AS(file.read(99'900, 100, read.data()), CheckpointError);
    CHECK_THROWS_WITH(file.at(99'999),
                      Catch::Contains(path + " became shorter") && Catch::Contains("ends at byte 151025"));
    CHECK_THROWS_AS(file.payload_hash(), CheckpointError);
  }
}

TEST_CASE("a corpus may have more shards than the usual limit of open files") {
  const TemporaryFolder folder;
  write_tokens(folder / "tokens.bin", 10, {1, 2, 3});
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit small = before;
  small.rlim_cur = 50;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &small) == 0);
  std::vector<TokenFile> files;
  for (int i = 0; i < 100; ++i) files.emplace_back(folder / "tokens.bin");
  CHECK(files.front().at(1) == 2);
  CHECK(files.back().at(2) == 3);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("an unfinished token file is removed") {
  const TemporaryFolder folder;
  {
    TokenWriter writer(folder / "tokens.bin", 10);
    writer.write(std::vector<int32_t>{1, 2});
    CHECK_THROWS_AS(writer.write(std::vector<int32_t>{10}), DataError);
    CHECK_THROWS_AS(writer.write(std::vector<int32_t>{-1}), DataError);
  }
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK_THROWS_AS(TokenWriter(folder / "absent/tokens.bin", 10), DataError);
}

TEST_CASE("a full disk is a data error, and the temporary file is removed") {
  const TemporaryFolder folder;
  rlimit before = {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100'000;
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string message;
  try {
    write_tokens(folder / "tokens.bin", 10, std::vector<int32_t>(1'000'000, 3));
  } catch (const DataError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(message, Catch::Contains("tokens.bin") && Catch::Contains("File too large"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace moe
