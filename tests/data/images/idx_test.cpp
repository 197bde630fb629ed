#include "data/images/idx.h"

#include <filesystem>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;

TEST_CASE("an IDX file is read as it was written") {
  TemporaryFolder folder;
  write_bytes(folder / "a", idx_bytes({2, 1, 3}, {1, 2, 3, 250, 251, 252}));
  const IdxArray array = read_idx(folder / "a");
  CHECK(array.dims == std::vector<int64_t>{2, 1, 3});
  CHECK(array.elements == std::vector<uint8_t>{1, 2, 3, 250, 251, 252});
}

TEST_CASE("damaged IDX files are data errors with a reason") {
  TemporaryFolder folder;
  const auto error = [&](const std::string& bytes) {
    write_bytes(folder / "x", bytes);
    try {
      read_idx(folder / "x");
    } catch (const DataError& e) {
      CHECK(std::string(e.what()).find("/x") != std::string::npos);
      return std::string(e.what());
    }
    return std::string("no error");
  };
  const std::string good = idx_bytes({2, 2}, {1, 2, 3, 4});
  CHECK_THAT(error(""), Catch::Contains("not an IDX file"));
  CHECK_THAT(error("GIF89a"), Catch::Contains("not an IDX file"));
  CHECK_THAT(error(idx_bytes({2, 2}, {1, 2, 3, 4}, 0x0D)), Catch::Contains("0x0d"));
  CHECK_THAT(error(idx_bytes({}, {})), Catch::Contains("0 dimensions"));
  CHECK_THAT(error(good.substr(0, 9)), Catch::Contains("header"));
  CHECK_THAT(error(good.substr(0, good.size() - 1)),
             Catch::Contains("truncated") && Catch::Contains("3 bytes") && Catch::Contains("expected 4"));
  CHECK_THAT(error(good + "x"), Catch::Contains("too long"));
  CHECK_THAT(error(idx_bytes({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {1})), Catch::Contains("too large"));
  CHECK_THROWS_AS(read_idx(folder / "absent"), DataError);
}

TEST_CASE("images and labels must match") {
  TemporaryFolder folder;
  const ImageSet set = bright_quarters(6, 4, 1);
  write_idx_folder(folder.path(), set, set);
  const ImageFiles files = read_idx_images(folder.path());
  CHECK(files.train.pixels == set.pixels);
  CHECK(files.train.labels == set.labels);
  CHECK(files.test.size() == 6);
  CHECK(files.classes == 4);
  write_bytes(folder / "train-labels-idx1-ubyte", idx_bytes({5}, {0, 1, 2, 3, 0}));
  CHECK_THROWS_WITH(read_idx_images(folder.path()), Catch::Contains("6 images") && Catch::Contains("5 labels"));
  write_bytes(folder / "train-labels-idx1-ubyte", idx_bytes({6, 1}, {0, 1, 2, 3, 0, 1}));
  CHECK_THROWS_AS(read_idx_images(folder.path()), DataError);
  std::filesystem::remove(folder / "train-labels-idx1-ubyte");
  CHECK_THROWS_WITH(read_idx_images(folder.path()), Catch::Contains("train-labels-idx1-ubyte"));
}
