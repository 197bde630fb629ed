#include "core/tensor/tensor.h"

#include <vector>

#include "tests/support/catch.h"

namespace moe::test {

TEST_CASE("shapes count, compare and print") {
  CHECK(Shape{2, 3, 4}.size() == 24);
  CHECK(Shape{2, 0}.size() == 0);
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{2, 3}.to_string() == "(2, 3)");
  CHECK(Shape{2} != Shape{2, 1});
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1}), InternalError);
  CHECK_THROWS_AS(Shape{-1}, InternalError);
}

TEST_CASE("slices and reshapes are views of the same memory") {
  std::vector<float> memory(24);
  const Tensor x{memory.data(), {4, 3, 2}, DType::f32, Device::cpu};
  const Tensor middle = x.slice(1, 2);
  CHECK(middle.shape == Shape{2, 3, 2});
  CHECK(middle.as<float>() == memory.data() + 6);
  CHECK(x.slice(4, 0).size() == 0);
  CHECK(Tensor{memory.data(), {0, 3}, DType::f32, Device::cpu}.slice(0, 0).shape == Shape{0, 3});
  CHECK(x.reshape({12, 2}).shape == Shape{12, 2});
  CHECK_THROWS_AS(x.slice(3, 2), InternalError);
  CHECK_THROWS_AS(x.slice(-1, 1), InternalError);
  CHECK_THROWS_AS(x.reshape({5, 5}), InternalError);
}

TEST_CASE("a tensor can only be read as its dtype") {
  std::vector<float> memory(2);
  const Tensor x{memory.data(), {2}, DType::f32, Device::cpu};
  CHECK(x);
  CHECK_FALSE(Tensor{});
  CHECK(x.bytes() == 8);
  CHECK_THROWS_AS(x.as<double>(), InternalError);
  CHECK_THROWS_WITH(ConstTensor(x).as<int32_t>(), Catch::Contains("f32") && Catch::Contains("i32"));
}

}  // namespace moe::test
