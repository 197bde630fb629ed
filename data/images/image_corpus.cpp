#include "data/images/image_corpus.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "data/content_hash.h"
#include "data/find_split.h"
#include "data/images/cifar10.h"
#include "data/images/idx.h"
#include "data/keyed_permutation.h"

namespace moe {

namespace fs = std::filesystem;

constexpr uint32_t kValidationStream = 2;  // beside those of data/sampler.cpp

const Table<ImageFormat>& image_formats() {
  static const Table<ImageFormat> table{
      "data.labelled.format",
      {{"idx", has_idx_images, read_idx_images}, {"cifar10", has_cifar10_images, read_cifar10_images}}};
  return table;
}

uint64_t ImageSplit::content_hash() const {
  ContentHash hash;
  const int64_t head[] = {set_->shape.channels, set_->shape.height, set_->shape.width, size()};
  hash.update(head, sizeof head);
  for (int64_t i = 0; i < size(); ++i) {
    const int32_t own = label(i);
    hash.update(&own, sizeof own);
    hash.update(image(i).data(), static_cast<int64_t>(image(i).size()));
  }
  return hash.value();
}

ImageCorpus ImageCorpus::open(const DataConfig& config) {
  if (!fs::is_directory(config.path)) raise<DataError>("{}: no such folder of labelled samples", config.path);
  const auto found = [&]() -> const ImageFormat& {
    if (config.labelled.format != "auto") return image_formats().at(config.labelled.format);
    for (const ImageFormat& format : image_formats()) {
      if (format.is_in(config.path)) return format;
    }
    raise<DataError>("{} holds no labelled samples of a known format: {}", config.path,
                     join(image_formats().names(), ", "));
  };
  fs::path path = fs::absolute(config.path).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return {path.filename().string(), found().read(config.path), config.labelled};
}

static void check_labels(const std::string& name, const ImageSet& set, int64_t classes) {
  for (int64_t i = 0; i < set.size(); ++i) {
    if (set.label(i) >= classes) {
      raise<DataError>("{}: image {} of the test files has the label {}; the training files have 0 to {}", name, i,
                       set.label(i), classes - 1);
    }
  }
}

ImageCorpus::ImageCorpus(std::string name, ImageFiles files, const LabelledDataConfig& config)
    : name_(std::move(name)), shape_(files.train.shape), classes_(files.classes) {
  check_labels(name_, files.test, classes_);
  if (files.test.size() > 0 && !(files.test.shape == shape_)) {
    raise<DataError>("{}: test images are {} x {}, training images {} x {}", name_, files.test.shape.width,
                     files.test.shape.height, shape_.width, shape_.height);
  }
  const int64_t all = files.train.size(), held_out = config.validation;
  if (held_out >= all) {
    raise<UsageError>("data.labelled.validation: {} of {} samples would leave none to train on", held_out, all);
  }
  memory_bytes_ = static_cast<int64_t>(files.train.pixels.size() + files.test.pixels.size()) + all + files.test.size();
  const auto train = std::make_shared<const ImageSet>(std::move(files.train));
  const auto test = std::make_shared<const ImageSet>(std::move(files.test));
  const KeyedPermutation order(
      all, {static_cast<uint64_t>(config.split_seed), RandomPurpose::sampling, kValidationStream, 0});
  std::vector<int64_t> shuffled(static_cast<size_t>(all));
  for (int64_t i = 0; i < all; ++i) shuffled[static_cast<size_t>(i)] = order(i);
  const auto middle = shuffled.begin() + held_out;
  std::sort(shuffled.begin(), middle);
  std::sort(middle, shuffled.end());
  splits_.emplace_back("train", train, std::vector(middle, shuffled.end()));
  if (held_out > 0) splits_.emplace_back("validation", train, std::vector(shuffled.begin(), middle));
  if (test->size() > 0) {
    std::vector<int64_t> whole(static_cast<size_t>(test->size()));
    std::iota(whole.begin(), whole.end(), int64_t{0});
    splits_.emplace_back("test", test, std::move(whole));
  }
}

bool ImageCorpus::has_split(std::string_view name) const {
  return find_split(splits_, name) != nullptr;
}

const ImageSplit& ImageCorpus::split(std::string_view name) const {
  return split_named(name_, splits_, name);
}

}  // namespace moe
