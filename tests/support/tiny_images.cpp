#include "tests/support/tiny_images.h"

#include <fstream>

#include "core/base/philox.h"

namespace moe::test {

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string idx_bytes(const std::vector<uint32_t>& dims, const std::vector<uint8_t>& elements, uint8_t type) {
  std::string bytes{'\0', '\0', static_cast<char>(type), static_cast<char>(dims.size())};
  for (const uint32_t dim : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(dim >> shift & 0xFF);
  }
  bytes.append(elements.begin(), elements.end());
  return bytes;
}

ImageSet bright_quarters(int64_t count, int64_t side, uint64_t seed, int64_t hard) {
  ImageSet set{{1, side, side}, {}, {}};
  for (int64_t i = 0; i < count; ++i) {
    const RandomKey key{seed, RandomPurpose::test, 0, static_cast<uint64_t>(i)};
    const auto label = static_cast<uint8_t>(i % 4);
    const bool is_hard = hard > 0 && i % hard == hard - 1;
    set.labels.push_back(label);
    for (int64_t p = 0; p < side * side; ++p) {
      const bool bright = (p / side >= side / 2) == (label / 2 == 1) && (p % side >= side / 2) == (label % 2 == 1);
      const double noise = static_cast<double>(key.uniform(static_cast<uint64_t>(p))) * (is_hard ? 200 : 60);
      set.pixels.push_back(static_cast<uint8_t>(noise + (bright ? (is_hard ? 20 : 150) : 0)));
    }
  }
  return set;
}

void write_idx_folder(const std::string& folder, const ImageSet& train, const ImageSet& test) {
  const auto write = [&](const std::string& part, const ImageSet& set) {
    const auto n = static_cast<uint32_t>(set.size()), height = static_cast<uint32_t>(set.shape.height),
               width = static_cast<uint32_t>(set.shape.width);
    write_bytes(folder + "/" + part + "-images-idx3-ubyte", idx_bytes({n, height, width}, set.pixels));
    write_bytes(folder + "/" + part + "-labels-idx1-ubyte", idx_bytes({n}, set.labels));
  };
  write("train", train);
  write("t10k", test);
}

}  // namespace moe::test
