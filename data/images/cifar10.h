// The binary version of CIFAR-10 (A. Krizhevsky): records of a label and 3 x 32 x 32 bytes, red, green, blue.
#pragma once
#include "data/images/image_set.h"

namespace moe {

// Files in the folder: data_batch_1.bin to data_batch_5.bin, of which the last may be absent, and optionally
// test_batch.bin, each plain or compressed (.gz, .xz, .zst). Throws DataError for a file that does not end with a
// complete record, or a label above 9.
bool has_cifar10_images(const std::string& folder);
ImageFiles read_cifar10_images(const std::string& folder);

}  // namespace moe
