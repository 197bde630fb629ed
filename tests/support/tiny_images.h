// Small labelled images as files, for tests that read them or train on them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/images/image_set.h"

namespace moe::test {

// A big-endian IDX file of bytes; `dims` need not match the elements, to make damaged files.
std::string idx_bytes(const std::vector<uint32_t>& dims, const std::vector<uint8_t>& elements, uint8_t type = 0x08);
void write_bytes(const std::string& path, const std::string& bytes);

// Images of side x side pixels of noise with a bright quarter, whose position is the class: 4 classes in turn. If
// `hard` is not 0, every `hard`-th image is much noisier than the others.
ImageSet bright_quarters(int64_t count, int64_t side, uint64_t seed, int64_t hard = 0);
// Writes the four files of MNIST.
void write_idx_folder(const std::string& folder, const ImageSet& train, const ImageSet& test);

}  // namespace moe::test
