// Rows of all ranks on rank 0.
#pragma once
#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace moe {

// Collective. The rows (rows, width) of all ranks, in the order of the ranks, on rank 0; none on the others.
std::vector<float> gathered_rows(Communicator& world, std::vector<float> rows, int64_t width = 1);
std::vector<int32_t> gathered_rows(Communicator& world, std::vector<int32_t> rows, int64_t width = 1);
// The same for integers of at most 53 bits.
std::vector<int64_t> gathered_rows(Communicator& world, const std::vector<int64_t>& rows);

}  // namespace moe
