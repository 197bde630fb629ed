// CIFAR-10's records. The input is one byte per label and as many for the image, which is repeated.
#include <filesystem>

#include "data/images/cifar10.h"
#include "data/images/image_corpus.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  std::string records;
  for (size_t i = 0; i + 1 < input.size() && i < 16; i += 2) {
    records += input[i];
    records.append(3072, input[i + 1]);
  }
  if (input.size() % 2 == 1) records += input.back();  // an incomplete record
  std::filesystem::create_directories(scratch_folder() + "/cifar");
  scratch_file("cifar/data_batch_1.bin", records);
  for (int batch = 2; batch <= 4; ++batch) scratch_file("cifar/data_batch_" + std::to_string(batch) + ".bin", records);
  LabelledDataConfig config;
  config.validation = 1;
  const ImageCorpus corpus("images", read_cifar10_images(scratch_folder() + "/cifar"), config);
  for (const ImageSplit& split : corpus.splits()) split.content_hash();
}

static std::vector<std::string> seeds() {
  using namespace std::string_literals;
  return {"\0a\1b\2c"s,
          "\x0a"
          "a",
          "\0a\1"s};
}

static const FuzzTarget target{"cifar10", read_input, seeds};

}  // namespace moe
