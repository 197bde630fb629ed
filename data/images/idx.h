// The IDX format of MNIST (Y. LeCun): the bytes 0, 0, the element type and the number of dimensions; the dimensions as
// 32-bit big-endian numbers; the elements.
#pragma once
#include "data/images/image_set.h"

namespace moe {

struct IdxArray {
  std::vector<int64_t> dims;
  std::vector<uint8_t> elements;
};

// Reads a file of bytes, plain or compressed (data/byte_stream.h). Throws DataError for any other element type, or a
// length that does not match the dimensions.
IdxArray read_idx(const std::string& path);

// Files in the folder: train-images-idx3-ubyte, train-labels-idx1-ubyte and optionally the same with t10k, each plain
// or compressed (.gz, .xz, .zst).
bool has_idx_images(const std::string& folder);
ImageFiles read_idx_images(const std::string& folder);  // DataError

}  // namespace moe
