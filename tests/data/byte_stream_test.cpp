#include "data/byte_stream.h"

#include <unistd.h>

#include <algorithm>

#include <filesystem>
#include <thread>

#include "core/base/error.h"
#include "data/content_hash.h"
#include "data/images/cifar10.h"
#include "data/images/idx.h"
#include "data/lines.h"
#include "data/posix_file.h"
#include "tests/support/catch.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

namespace moe {
namespace {

const std::vector<std::string> kCompressions = {"gzip", "xz", "zstd"};

// Does not repeat, so that its compressed form has some length.
std::string some_text(size_t bytes) {
  std::string text;
  for (uint32_t x = 1; text.size() < bytes; x = x * 1664525 + 1013904223) text += std::to_string(x) + "\n";
  return text.substr(0, bytes);
}

uint64_t hash_of(std::string_view bytes) {
  ContentHash hash;
  hash.update(bytes.data(), std::ssize(bytes));
  return hash.value();
}

}  // namespace

TEST_CASE("compressed input is recognised by its content, whatever its name") {
  const TemporaryFolder folder;
  const std::string text = some_text(700'000), path = folder / "a.parquet";
  for (const std::string compression : {"", "gzip", "xz", "zstd"}) {
    INFO(compression);
    const std::string stored = compressed(text, compression);
    write_text_file(path, stored);
    CHECK(read_bytes(path) == text);
    ByteStream stream{InputFile(path)};
    std::string read(text.size(), '\0');
    for (size_t at = 0; at < read.size(); at += 99'999) {
      const auto wanted = static_cast<int64_t>(std::min<size_t>(99'999, read.size() - at));
      REQUIRE(stream.read(read.data() + at, wanted) == wanted);
    }
    CHECK(read == text);
    char more = 0;
    CHECK(stream.read(&more, 1) == 0);
    CHECK(stream.compression() == compression);
    CHECK(stream.stored_bytes() == std::ssize(stored));
    CHECK(stream.stored_hash() == hash_of(stored));
  }
}

TEST_CASE("all members of a compressed file are read") {
  const TemporaryFolder folder;
  const std::string large = some_text(500'000), small = "a few words\n";
  for (const std::string& compression : kCompressions) {
    INFO(compression);
    const std::string a = compressed(large, compression), b = compressed(small, compression);
    write_text_file(folder / "a", b + a + b + compressed("", compression) + b);
    CHECK(read_bytes(folder / "a") == small + large + small + small);
  }
  // Zeros after gzip's data are padding.
  write_text_file(folder / "a", compressed(small, "gzip") + std::string(300'000, '\0'));
  CHECK(read_bytes(folder / "a") == small);
}

TEST_CASE("an empty file is empty, compressed or not") {
  const TemporaryFolder folder;
  for (const std::string compression : {"", "gzip", "xz", "zstd"}) {
    write_text_file(folder / "a", compressed("", compression));
    CHECK(read_bytes(folder / "a").empty());
  }
}

TEST_CASE("truncated, damaged and continued compressed data are errors that name the file") {
  const TemporaryFolder folder;
  const std::string text = some_text(300'000), path = folder / "damaged";
  const auto refused = [&](const std::string& bytes) {
    write_text_file(path, bytes);
    CHECK_THROWS_AS(read_bytes(path), DataError);
    CHECK_THROWS_WITH(read_bytes(path), Catch::Contains(path));
  };
  for (const std::string& compression : kCompressions) {
    const std::string good = compressed(text, compression), two = good + compressed("more", compression);
    for (const size_t bytes : {good.size() - 1, good.size() - 9, good.size() / 2, size_t{12}, two.size() - 3}) {
      INFO(compression << ", the first " << bytes << " bytes");
      refused(two.substr(0, bytes));
    }
    // A flipped bit in the middle may unpack to as many other bytes, which only the checksum shows. In zstd it is
    // optional, and libarchive writes none.
    for (size_t at = good.size() / 3; compression != "zstd" && at < good.size() / 3 + 40; ++at) {
      INFO(compression << ", byte " << at);
      std::string damaged = good;
      damaged[at] = static_cast<char>(damaged[at] ^ 4);
      refused(damaged);
    }
    INFO(compression << ", other data after it");
    refused(good + "and plain text");
  }
  for (const char* end : {"\x1f", "\x1f\x8b\x08"}) refused(compressed(text, "gzip") + end);
}

TEST_CASE("a pipe is read as often as a file") {
  const TemporaryFolder folder;
  const std::string text = some_text(400'000), stored = compressed(text, "xz");
  int ends[2] = {};
  REQUIRE(::pipe(ends) == 0);
  std::thread writer([&] { PosixFile::adopt("the pipe", ends[1]).write(stored.data(), std::ssize(stored)); });
  const InputFile input("/dev/fd/" + std::to_string(ends[0]));
  writer.join();
  ::close(ends[0]);
  CHECK(input.is_copy());
  for (int pass = 0; pass < 2; ++pass) {
    ByteStream stream(input);
    std::string read(text.size() + 1, '\0');
    CHECK(stream.read(read.data(), std::ssize(read)) == std::ssize(text));
    CHECK(read.substr(0, text.size()) == text);
  }
  CHECK_THROWS_WITH(InputFile(folder.path()), Catch::Contains("Is a directory"));
  CHECK_THROWS_WITH(InputFile(folder / "absent"), Catch::Contains("No such file"));
  CHECK_THROWS_WITH(InputFile("/dev/zero"), Catch::Contains("is a device"));
}

TEST_CASE("every reader of input takes compressed files") {
  const TemporaryFolder folder;
  for (const std::string& compression : kCompressions) {
    INFO(compression);
    const std::string array = test::idx_bytes({6}, {1, 2, 3, 4, 5, 6});
    write_text_file(folder / "idx",
                    compressed(array.substr(0, 9), compression) + compressed(array.substr(9), compression));
    CHECK(read_idx(folder / "idx").elements == std::vector<uint8_t>{1, 2, 3, 4, 5, 6});
    write_text_file(folder / "lines", compressed("\xEF\xBB\xBFone\r\n\ntwo", compression));
    std::vector<std::string> lines;
    for_each_line(folder / "lines", [&](std::string_view line, int64_t number) {
      lines.push_back(std::to_string(number) + std::string(line));
    });
    CHECK(lines == std::vector<std::string>{"1one", "3two"});
    std::filesystem::create_directories(folder / compression);
    const std::string ending = compression == "gzip" ? ".gz" : compression == "zstd" ? ".zst" : ".xz";
    write_text_file(folder / compression + "/data_batch_1.bin" + ending,
                    compressed(std::string(3073, '\1'), compression));
    CHECK(read_cifar10_images(folder / compression).train.size() == 1);
  }
}

}  // namespace moe
