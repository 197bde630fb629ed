#include "data/images/cifar10.h"

#include "core/base/check.h"
#include "data/byte_stream.h"

namespace moe {

static constexpr ImageShape kShape{3, 32, 32};
static constexpr int kClasses = 10, kBatches = 5;

static void append(const std::string& path, ImageSet& set) {
  const std::string content = read_bytes(path);
  const auto record = static_cast<size_t>(1 + kShape.pixels());
  if (content.empty() || content.size() % record != 0) {
    raise<DataError>("{} is truncated or not a CIFAR-10 file: {} bytes; expected a multiple of a record's {}", path,
                     content.size(), record);
  }
  for (size_t at = 0; at < content.size(); at += record) {
    const auto label = static_cast<uint8_t>(content[at]);
    if (label >= kClasses) {
      raise<DataError>("{}: record {} has the label {}; CIFAR-10 has 0 to {}", path, at / record, label, kClasses - 1);
    }
    set.labels.push_back(label);
    set.pixels.insert(set.pixels.end(), content.begin() + static_cast<std::ptrdiff_t>(at + 1),
                      content.begin() + static_cast<std::ptrdiff_t>(at + record));
  }
}

bool has_cifar10_images(const std::string& folder) {
  return find_input(folder, "data_batch_1.bin").has_value();
}

ImageFiles read_cifar10_images(const std::string& folder) {
  ImageFiles files{{kShape, {}, {}}, {kShape, {}, {}}, kClasses};
  for (int i = 1; i <= kBatches; ++i) {
    if (const auto path = find_input(folder, fmt::format("data_batch_{}.bin", i))) append(*path, files.train);
  }
  if (files.train.labels.empty()) raise<DataError>("{} has no data_batch_1.bin", folder);
  if (const auto path = find_input(folder, "test_batch.bin")) append(*path, files.test);
  return files;
}

}  // namespace moe
