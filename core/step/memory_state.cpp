#include "core/step/memory_state.h"

#include "core/base/check.h"
#include "core/checkpoint/tensor_file.h"

namespace moe {

std::vector<NamedTensor> memory_tensors(const ContextMemory& memory, int64_t first_row) {
  std::vector<NamedTensor> tensors;
  const MemoryShape& shape = memory.shape();
  if (memory.filled() == 0) return tensors;
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    for (int64_t row = 0; row < memory.rows(); ++row) {
      const Tensor all = memory.layer(layer, row, 1).reshape(Shape{shape.positions, shape.width});
      tensors.push_back({fmt::format("memory.{}.row.{:06}", layer, first_row + row),
                         all.slice(shape.positions - memory.filled(), memory.filled())});
    }
  }
  return tensors;
}

void restore_memory(ContextMemory& memory, int64_t first_row, int64_t filled, const std::string& path) {
  memory.clear();
  memory.advance(filled);
  if (memory.filled() == 0) return;
  const TensorFolder folder(path, kMemoryFile);
  for (const NamedTensor& tensor : memory_tensors(memory, first_row)) folder.read(tensor.name, tensor.tensor);
}

}  // namespace moe
