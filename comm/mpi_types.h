// MPI's names for our types, and its errors as exceptions.
#pragma once
#include <mpi.h>

#include "core/tensor/tensor.h"

namespace moe {

// Throws a DeviceError with MPI's message if a call fails.
#define MPI_CHECK(call) ::moe::check_mpi((call), #call)
void check_mpi(int status, const char* call);

// For messages; bf16 elements are moved as bits.
MPI_Datatype mpi_type_of(DType dtype);
// For reductions. Throws InternalError for bf16, whose bits MPI cannot add.
MPI_Datatype mpi_number_of(DType dtype);
// A number of elements as MPI takes it. Throws InternalError above 2^31 - 1.
int mpi_count(int64_t elements);

}  // namespace moe
