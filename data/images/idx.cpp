#include "data/images/idx.h"

#include <algorithm>
#include <optional>

#include "core/base/check.h"
#include "data/byte_stream.h"

namespace moe {

static uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

IdxArray read_idx(const std::string& path) {
  constexpr unsigned char kBytes = 0x08;  // the type of the elements
  const std::string content = read_bytes(path);
  if (content.size() < 4 || content[0] != 0 || content[1] != 0) raise<DataError>("{} is not an IDX file", path);
  const auto type = static_cast<unsigned char>(content[2]), rank = static_cast<unsigned char>(content[3]);
  if (type != kBytes) raise<DataError>("{}: elements of type {:#04x}; expected bytes ({:#04x})", path, type, kBytes);
  if (rank < 1 || rank > 4) raise<DataError>("{}: {} dimensions", path, rank);
  const size_t header = 4 + 4 * size_t{rank};
  if (content.size() < header) raise<DataError>("{} is truncated inside its header", path);
  IdxArray array;
  uint64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    const uint32_t dim = big_endian(content, 4 + 4 * i);
    array.dims.push_back(dim);
    if (dim != 0 && count > (uint64_t{1} << 40) / dim)
      raise<DataError>("{}: the dimensions in its header are too large", path);
    count *= dim;
  }
  if (content.size() - header != count) {
    raise<DataError>("{} is {}: {} bytes of elements; expected {} by its header", path,
                     content.size() - header < count ? "truncated" : "too long", content.size() - header, count);
  }
  array.elements.assign(content.begin() + static_cast<std::ptrdiff_t>(header), content.end());
  return array;
}

// Finds the file under its original name or the name used by other distributions.
static std::optional<std::string> find(const std::string& folder, const std::string& part, const std::string& what,
                                       int rank) {
  for (const char* separator : {"-", "."}) {
    const std::string name = fmt::format("{}-{}{}idx{}-ubyte", part, what, separator, rank);
    if (auto path = find_input(folder, name)) return path;
  }
  return std::nullopt;
}

bool has_idx_images(const std::string& folder) {
  return find(folder, "train", "images", 3).has_value();
}

static ImageSet read_part(const std::string& folder, const std::string& part) {
  const auto images = find(folder, part, "images", 3), labels = find(folder, part, "labels", 1);
  if (!images || !labels)
    raise<DataError>("{} has no {}-{}-ubyte", folder, part, images ? "labels-idx1" : "images-idx3");
  IdxArray pixels = read_idx(*images), classes = read_idx(*labels);
  if (pixels.dims.size() != 3)
    raise<DataError>("{}: {} dimensions; expected 3 for images", *images, pixels.dims.size());
  if (classes.dims.size() != 1)
    raise<DataError>("{}: {} dimensions; expected 1 for labels", *labels, classes.dims.size());
  if (pixels.dims[0] != classes.dims[0])
    raise<DataError>("{} has {} images, {} has {} labels", *images, pixels.dims[0], *labels, classes.dims[0]);
  if (pixels.elements.empty()) raise<DataError>("{} holds no pixels", *images);
  return {{1, pixels.dims[1], pixels.dims[2]}, std::move(pixels.elements), std::move(classes.elements)};
}

ImageFiles read_idx_images(const std::string& folder) {
  ImageFiles files;
  files.train = read_part(folder, "train");
  files.classes = 1 + *std::max_element(files.train.labels.begin(), files.train.labels.end());
  if (find(folder, "t10k", "images", 3)) files.test = read_part(folder, "t10k");
  return files;
}

}  // namespace moe
