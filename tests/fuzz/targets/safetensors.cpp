// Tensor files, as a checkpoint has them and as other programs write them.
#include <cstdint>
#include <cstring>

#include "core/checkpoint/tensor_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace moe {

static void read_input(std::string_view input) {
  const TensorFile file(scratch_file("model.safetensors", input));
  uint64_t sum = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    std::vector<unsigned char> copy(tensor.bytes());
    if (!copy.empty()) std::memcpy(copy.data(), tensor.data, copy.size());
    for (const unsigned char byte : copy) sum += byte;
  }
  require(sum <= 255 * input.size(), "tensors do not overlap");
}

static std::string with_header(const std::string& header, const std::string& content) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + content;
}

static std::vector<std::string> seeds() {
  std::vector<float> values(6, 0.5F);
  Tensor tensor;
  tensor.dtype = DType::f32;
  tensor.shape = Shape{2, 3};
  tensor.data = values.data();
  write_tensor_file(scratch_folder() + "/written.safetensors", {{"blocks.0.weight", tensor}, {"norm", tensor}});
  return {file_content(scratch_folder() + "/written.safetensors"), with_header("{}", ""),
          with_header(R"({"__metadata__":{"a":"b"},"t":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                      R"("u":{"dtype":"I32","shape":[0],"data_offsets":[8,8]}})",
                      "12345678")};
}

static const FuzzTarget target{"safetensors", read_input, seeds};

}  // namespace moe
