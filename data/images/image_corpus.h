// Labelled images with their splits: train and validation from the training files, and test.
#pragma once
#include <memory>
#include <string_view>

#include "core/base/integer.h"
#include "core/base/table.h"
#include "core/config/train_config.h"
#include "data/class_counts.h"
#include "data/images/image_set.h"

namespace moe {

// An entry of the table of formats; data.labelled.format selects it by name.
struct ImageFormat {
  const char* name;
  bool (*is_in)(const std::string& folder);
  ImageFiles (*read)(const std::string& folder);  // throws DataError
};
const Table<ImageFormat>& image_formats();

// A subset of a set's images.
class ImageSplit {
 public:
  ImageSplit(std::string name, std::shared_ptr<const ImageSet> set, std::vector<int64_t> members)
      : name_(std::move(name)), set_(std::move(set)), members_(std::move(members)) {}

  const std::string& name() const { return name_; }
  int64_t size() const { return static_cast<int64_t>(members_.size()); }
  std::span<const uint8_t> image(int64_t i) const { return set_->image(members_[as_index(i)]); }
  int32_t label(int64_t i) const { return set_->label(members_[as_index(i)]); }
  // XXH64 of the images' shape, their number, and all pixels and labels in order.
  uint64_t content_hash() const;

 private:
  std::string name_;
  std::shared_ptr<const ImageSet> set_;
  std::vector<int64_t> members_;
};

class ImageCorpus {
 public:
  // Reads the folder config.location(), whose files have the format that labelled_format() finds. Throws DataError for
  // faults in its files, UsageError when validation would leave nothing to train on.
  static ImageCorpus open(const DataConfig& config);
  // Validation is drawn from the training images by a permutation keyed by config.split_seed; both splits keep the
  // order of the files. Throws DataError when shapes or labels of the parts are inconsistent.
  ImageCorpus(std::string name, ImageFiles files, const LabelledDataConfig& config);

  const std::string& name() const { return name_; }
  const ImageShape& shape() const { return shape_; }
  int64_t classes() const { return std::ssize(classes_.names); }
  // Of the training files, held-out images included.
  const ClassCounts& class_counts() const { return classes_; }
  bool has_split(std::string_view name) const;
  const ImageSplit& split(std::string_view name) const;  // throws DataError that lists the existing splits
  const std::vector<ImageSplit>& splits() const { return splits_; }
  int64_t memory_bytes() const { return memory_bytes_; }

 private:
  std::string name_;
  ImageShape shape_;
  ClassCounts classes_;
  int64_t memory_bytes_ = 0;
  std::vector<ImageSplit> splits_;
};

}  // namespace moe
