// MNIST's format: the training images and labels.
#include <algorithm>
#include <filesystem>

#include "data/images/idx.h"
#include "data/images/image_corpus.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const size_t labels = std::min<size_t>(input.size(), 8 + 4);
  std::filesystem::create_directories(scratch_folder() + "/mnist");
  scratch_file("mnist/train-labels-idx1-ubyte", input.substr(0, labels));
  scratch_file("mnist/train-images-idx3-ubyte", input.substr(labels));
  LabelledDataConfig config;
  config.validation = 1;
  const ImageCorpus corpus("images", read_idx_images(scratch_folder() + "/mnist"), config);
  for (const ImageSplit& split : corpus.splits()) split.content_hash();
}

static std::vector<std::string> seeds() {
  using namespace std::string_literals;
  const std::string labels = "\0\0\x08\x01\0\0\0\x04\0\1\2\1"s;
  const std::string images = "\0\0\x08\x03\0\0\0\x04\0\0\0\2\0\0\0\2"s + std::string(16, 'x');
  return {labels + images};
}

static const FuzzTarget target{"idx", read_input, seeds};

}  // namespace moe
