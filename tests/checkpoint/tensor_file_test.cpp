#include "core/checkpoint/tensor_file.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/json_text.h"
#include "core/checkpoint/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A file with this header, as JSON text, and `content_bytes` of content.
static void write_file(const std::string& path, const std::string& header, size_t content_bytes) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  write_bytes(path, bytes + header + std::string(content_bytes, '\1'));
}

struct Numbers {
  std::vector<float> f32{1.5f, -2, 3, 4, 5, 6};
  std::vector<double> f64{0.1, -0.2};
  std::vector<int32_t> i32{7, -8, 9};
  std::vector<NamedTensor> tensors() {
    return {{"matrix", {f32.data(), Shape{2, 3}, DType::f32, Device::cpu}},
            {"doubles", {f64.data(), Shape{2}, DType::f64, Device::cpu}},
            {"empty", {f32.data(), Shape{0, 3}, DType::f32, Device::cpu}},
            {"indices", {i32.data(), Shape{3, 1, 1}, DType::i32, Device::cpu}}};
  }
};

TEST_CASE("tensors survive the round trip through a file") {
  TemporaryFolder folder;
  Numbers numbers;
  write_tensor_file(folder / "x.safetensors", numbers.tensors());
  const TensorFile file(folder / "x.safetensors");
  CHECK(file.tensors().size() == 4);
  for (const NamedTensor& t : numbers.tensors()) {
    INFO(t.name);
    const ConstTensor read = file.tensors().at(t.name);
    CHECK(read.dtype == t.tensor.dtype);
    REQUIRE(read.shape == t.tensor.shape);
    CHECK(std::memcmp(read.data, t.tensor.data, read.bytes()) == 0);
  }
}

TEST_CASE("the file follows the safetensors format") {
  TemporaryFolder folder;
  Numbers numbers;
  write_tensor_file(folder / "x.safetensors", numbers.tensors());
  const std::string bytes = read_text(folder / "x.safetensors");
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | static_cast<unsigned char>(bytes.at(static_cast<size_t>(i)));  // little endian
  REQUIRE(length < bytes.size());
  CHECK(length % 8 == 0);  // content is aligned
  CHECK(bytes[8] == '{');
  const auto header = parse_json(bytes.substr(8, length));
  CHECK(header.at("matrix") == Json{{"dtype", "F32"}, {"shape", {2, 3}}, {"data_offsets", {0, 24}}});
  CHECK(header.at("doubles") == Json{{"dtype", "F64"}, {"shape", {2}}, {"data_offsets", {24, 40}}});
  CHECK(header.at("indices") == Json{{"dtype", "I32"}, {"shape", {3, 1, 1}}, {"data_offsets", {40, 52}}});
  CHECK(header.at("__metadata__").at("format") == "pt");
  CHECK(bytes.size() == 8 + length + 52);
  CHECK(std::memcmp(bytes.data() + 8 + length, numbers.f32.data(), 24) == 0);
  CHECK(std::memcmp(bytes.data() + 8 + length + 24, numbers.f64.data(), 16) == 0);
}

TEST_CASE("a file truncated anywhere is damaged, and the error names it") {
  TemporaryFolder folder;
  Numbers numbers;
  write_tensor_file(folder / "whole", numbers.tensors());
  const std::string bytes = read_text(folder / "whole");
  for (size_t length = 0; length < bytes.size(); ++length) {
    INFO(length << " of " << bytes.size() << " bytes");
    write_bytes(folder / "cut.safetensors", bytes.substr(0, length));
    CHECK_THROWS_AS(TensorFile(folder / "cut.safetensors"), CheckpointError);
    CHECK_THROWS_WITH(TensorFile(folder / "cut.safetensors"), Catch::Contains("cut.safetensors"));
  }
}

TEST_CASE("a header that contradicts the data is damaged") {
  TemporaryFolder folder;
  const std::string path = folder / "x";
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return fmt::format(R"({{"a":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
  };
  const auto is_damaged = [&](const std::string& header, size_t content) {
    INFO(header << " with " << content << " bytes");
    write_file(path, header, content);
    CHECK_THROWS_AS(TensorFile(path), CheckpointError);
  };
  write_file(path, entry("F32", "[2]", "[0,8]"), 8);
  CHECK(TensorFile(path).tensors().size() == 1);

  is_damaged(entry("F32", "[2]", "[0,8]"), 7);  // past the end
  is_damaged(entry("F32", "[3]", "[0,8]"), 8);  // shape and bytes differ
  is_damaged(entry("F64", "[2]", "[0,8]"), 8);  // dtype and bytes differ
  is_damaged(entry("Q7", "[2]", "[0,8]"), 8);   // unknown dtype
  is_damaged(entry("F32", "[2]", "[8,0]"), 8);  // end before begin
  is_damaged(entry("F32", "[-2]", "[0,8]"), 8);
  is_damaged(entry("F32", "[2]", "[-8,0]"), 8);
  is_damaged(entry("F32", "[2]", "[0]"), 8);
  is_damaged(entry("F32", "[1,1,1,1,2]", "[0,8]"), 8);
  is_damaged(entry("F32", "\"two\"", "[0,8]"), 8);
  // 2^62 elements of 4 bytes are 2^64 bytes, which is 0 to a careless product.
  is_damaged(entry("F32", "[4611686018427387904]", "[0,0]"), 8);
  is_damaged(entry("F32", "[4294967296,4294967296]", "[0,0]"), 8);
  is_damaged(R"({"a":{"dtype":"F32","shape":[2]}})", 8);
  is_damaged(R"({"a":5})", 8);
  is_damaged(R"([1,2])", 8);
  is_damaged(R"({"a":)", 8);
  is_damaged("", 8);
  is_damaged(entry("F32", "[2]", "[8,16]"), 16);  // a gap
  is_damaged(entry("F32", "[2]", "[0,8]"), 9);    // trailing bytes
  // Two tensors in the same bytes.
  is_damaged(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
      12);
}

TEST_CASE("a header of an absurd length is damaged") {
  TemporaryFolder folder;
  for (const uint64_t length : {uint64_t{9}, uint64_t{1} << 32, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    std::string file(reinterpret_cast<const char*>(&length), sizeof length);
    write_bytes(folder / "x", file.append("{}      "));
    CHECK_THROWS_AS(TensorFile(folder / "x"), CheckpointError);
  }
}

TEST_CASE("a folder's files are read as one, and tensors that the model does not expect are refused") {
  TemporaryFolder folder;
  std::vector<float> a{1, 2}, b{3, 4, 5};
  write_tensor_file(folder / "model-00001-of-00002.safetensors",
                    {{"a", {a.data(), Shape{2}, DType::f32, Device::cpu}}});
  write_tensor_file(folder / "model-00002-of-00002.safetensors",
                    {{"b", {b.data(), Shape{3}, DType::f32, Device::cpu}}});
  const TensorFolder model(folder.path(), "model");
  std::vector<float> into(3);
  model.read("b", {into.data(), Shape{3}, DType::f32, Device::cpu});
  CHECK(into == b);
  CHECK(model.contains("a"));
  CHECK_FALSE(model.contains("c"));
  CHECK_THROWS_AS(model.at("c"), CheckpointError);
  CHECK_THROWS_AS(model.read("b", {into.data(), Shape{2}, DType::f32, Device::cpu}), CheckpointError);
  CHECK_THROWS_WITH(model.read("b", {into.data(), Shape{1, 3}, DType::f32, Device::cpu}),
                    Catch::Contains("b is f32 (3)"));
  CHECK_THROWS_AS(model.read("b", {into.data(), Shape{3}, DType::i32, Device::cpu}), CheckpointError);
  CHECK_THROWS_AS(TensorFolder(folder.path(), "optimizer"), CheckpointError);
  CHECK_THROWS_AS(TensorFolder(folder / "absent", "model"), CheckpointError);

  write_tensor_file(folder / "model-00003-of-00003.safetensors",
                    {{"a", {a.data(), Shape{2}, DType::f32, Device::cpu}}});
  CHECK_THROWS_WITH(TensorFolder(folder.path(), "model"), Catch::Contains("two files"));
}

TEST_CASE("a file that cannot be written is an error with the system's reason") {
  TemporaryFolder folder;
  Numbers numbers;
  CHECK_THROWS_WITH(write_tensor_file(folder / "absent/x", numbers.tensors()),
                    Catch::Contains("No such file or directory"));
}
