#include "data/images/image_corpus.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "data/chosen_classes.h"
#include "data/content_hash.h"
#include "data/find_split.h"
#include "data/held_out.h"
#include "data/images/cifar10.h"
#include "data/images/idx.h"
#include "data/labelled_format.h"

namespace moe {

namespace fs = std::filesystem;

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
  const ImageFormat& format = image_formats().at(labelled_format(config).name);
  fs::path path = fs::absolute(config.location()).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  return {path.filename().string(), format.read(config.location()), config.labelled};
}

static void check_labels(const std::string& name, const ImageSet& set, int64_t classes) {
  for (int64_t i = 0; i < set.size(); ++i) {
    if (set.label(i) >= classes) {
      raise<DataError>("{}: image {} of the test files has the label {}; expected 0 to {} as in the training files",
                       name, i, set.label(i), classes - 1);
    }
  }
}

static ClassCounts count_classes(const ImageSet& set, std::vector<std::string> names) {
  ClassCounts result{std::move(names), {}};
  result.counts.resize(result.names.size());
  for (int64_t i = 0; i < set.size(); ++i) ++result.counts[as_index(set.label(i))];
  if (set.size() > 0) result.first = set.label(0);
  return result;
}

// Keeps the images whose class has a new number (chosen_numbers()).
static void choose(ImageSet& set, const std::vector<int32_t>& numbers) {
  const int64_t pixels = set.shape.pixels();
  int64_t kept = 0;
  for (int64_t i = 0; i < set.size(); ++i) {
    const int32_t number = numbers[as_index(set.label(i))];
    if (number < 0) continue;
    std::copy_n(set.pixels.begin() + i * pixels, pixels, set.pixels.begin() + kept * pixels);
    set.labels[as_index(kept++)] = static_cast<uint8_t>(number);
  }
  set.labels.resize(as_index(kept));
  set.pixels.resize(as_index(kept * pixels));
}

ImageCorpus::ImageCorpus(std::string name, ImageFiles files, const LabelledDataConfig& config)
    : name_(std::move(name)), shape_(files.train.shape) {
  check_labels(name_, files.test, files.classes);
  std::vector<std::string> names;
  for (int64_t i = 0; i < files.classes; ++i) names.push_back(std::to_string(i));
  if (!config.classes.empty()) {
    const std::vector<int32_t> numbers = chosen_numbers(name_, names, config.classes);
    choose(files.train, numbers);
    choose(files.test, numbers);
    names = config.classes;
  }
  classes_ = count_classes(files.train, std::move(names));
  if (files.test.size() > 0 && !(files.test.shape == shape_)) {
    raise<DataError>("{}: test images are {} x {}, but training images are {} x {}", name_, files.test.shape.width,
                     files.test.shape.height, shape_.width, shape_.height);
  }
  HeldOut parts = hold_out(files.train.size(), config.validation, config.split_seed);
  memory_bytes_ = static_cast<int64_t>(files.train.pixels.size() + files.test.pixels.size()) + files.train.size() +
                  files.test.size();
  const auto train = std::make_shared<const ImageSet>(std::move(files.train));
  const auto test = std::make_shared<const ImageSet>(std::move(files.test));
  splits_.emplace_back("train", train, std::move(parts.train));
  if (!parts.validation.empty()) splits_.emplace_back("validation", train, std::move(parts.validation));
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
