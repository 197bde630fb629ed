// The binary version of CIFAR-10 (A. Krizhevsky): records of a label and 3 x 32 x 32 bytes, red, green, blue.
#pragma once
#include "data/images/image_set.h"

namespace moe {

// Of a folder: data_batch_1.bin to data_batch_5.bin, as many as there are, and test_batch.bin if there, each plain or
// .gz. DataError for a file that does not end with a record, or a label above 9.
bool has_cifar10_images(const std::string& folder);
ImageFiles read_cifar10_images(const std::string& folder);

}  // namespace moe
