#include "comm/mpi_types.h"

#include <limits>
#include <string>

namespace moe {

void check_mpi(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  raise<DeviceError>("MPI: {} failed: {}", call, std::string(text, static_cast<size_t>(length)));
}

MPI_Datatype mpi_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::bf16:
      return MPI_UINT16_T;
  }
  raise<InternalError>("MPI communication does not support {} tensors", name_of(dtype));
}

MPI_Datatype mpi_number_of(DType dtype) {
  MOE_CHECK(dtype != DType::bf16, "MPI cannot reduce {} tensors", name_of(dtype));
  return mpi_type_of(dtype);
}

int mpi_count(int64_t elements) {
  MOE_CHECK(elements <= std::numeric_limits<int>::max(), "a message of {} elements", elements);
  return static_cast<int>(elements);
}

}  // namespace moe
