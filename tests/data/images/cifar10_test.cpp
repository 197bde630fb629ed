#include "data/images/cifar10.h"

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_images.h"

using namespace moe;
using namespace moe::test;

static std::string record(int label, int pixel) {
  return static_cast<char>(label) + std::string(3072, static_cast<char>(pixel));
}

TEST_CASE("CIFAR-10's batches are read in order, for any number of files") {
  TemporaryFolder folder;
  CHECK_FALSE(has_cifar10_images(folder.path()));
  write_bytes(folder / "data_batch_1.bin", record(3, 10) + record(9, 20));
  write_bytes(folder / "data_batch_2.bin", record(0, 30));
  write_bytes(folder / "test_batch.bin", record(7, 40));
  CHECK(has_cifar10_images(folder.path()));
  const ImageFiles files = read_cifar10_images(folder.path());
  CHECK(files.classes == 10);
  CHECK(files.train.shape == ImageShape{3, 32, 32});
  CHECK(files.train.labels == std::vector<uint8_t>{3, 9, 0});
  CHECK(files.train.image(1)[3071] == 20);
  CHECK(files.train.image(2)[0] == 30);
  CHECK(files.test.labels == std::vector<uint8_t>{7});
}

TEST_CASE("damaged CIFAR-10 files are data errors with a reason") {
  TemporaryFolder folder;
  write_bytes(folder / "data_batch_1.bin", record(3, 10) + record(12, 20));
  CHECK_THROWS_WITH(read_cifar10_images(folder.path()),
                    Catch::Contains("record 1 has the label 12") && Catch::Contains("data_batch_1.bin"));
  write_bytes(folder / "data_batch_1.bin", record(3, 10).substr(1));
  CHECK_THROWS_WITH(read_cifar10_images(folder.path()), Catch::Contains("3072 bytes"));
  write_bytes(folder / "data_batch_1.bin", "");
  CHECK_THROWS_AS(read_cifar10_images(folder.path()), DataError);
}
