// The IDX format of MNIST (Y. LeCun): 0, 0, the type of the elements, the number of dimensions; these as 32-bit
// big-endian numbers; the elements.
#pragma once
#include "data/images/image_set.h"

namespace moe {

struct IdxArray {
  std::vector<int64_t> dims;
  std::vector<uint8_t> elements;
};

// A file of bytes, plain or compressed with gzip. DataError for anything else, or a length that is not what the
// dimensions say.
IdxArray read_idx(const std::string& path);

// Of a folder: train-images-idx3-ubyte, train-labels-idx1-ubyte and, if there, the same with t10k, each plain or .gz.
bool has_idx_images(const std::string& folder);
ImageFiles read_idx_images(const std::string& folder);  // DataError

}  // namespace moe
