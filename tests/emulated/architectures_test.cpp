#include "cuda/device/architectures.h"

#include <cstdlib>
#include <string>

#include "core/step/device_choice.h"
#include "core/tensor/device.h"
#include "tests/support/catch.h"

namespace moe::cuda {

TEST_CASE("a list of architectures says which devices its kernels run on") {
  const std::string usual = "80;90a-real";
  for (const int capability : {80, 86, 87, 89, 90, 100, 103, 120}) CHECK(runs_on(usual, capability));
  for (const int capability : {60, 70, 75}) CHECK(!runs_on(usual, capability));
  for (const int capability : {80, 86, 89, 100}) CHECK(!runs_on("90a-real", capability));
  CHECK(runs_on("90a-real", 90));
  CHECK(runs_on("86-real", 89));
  CHECK(!runs_on("86-real", 80));
  CHECK(!runs_on("86-real", 90));
  CHECK(runs_on("75-virtual", 90));
  CHECK(!runs_on("90-virtual", 89));
  CHECK(runs_on("native", 75));  // nothing is known
}

TEST_CASE("a list of architectures is described for people") {
  CHECK(describe_architectures("80;90a-real") ==
        "machine code for 8.0 and newer 8.x and 9.0, PTX for 8.0 and newer devices");
  CHECK(describe_architectures("90a-real") == "machine code for 9.0");
  CHECK(describe_architectures("80-virtual") == "PTX for 8.0 and newer devices");
  CHECK(describe_architectures("native") == "native");
}

TEST_CASE("a build says what its kernels run on, and the emulated device is such a one") {
  CHECK(build_description() == "yes (" + describe_architectures(built_architectures()) + ")");
  CHECK(why_unusable(0).empty());
}

// Sets a variable of the environment for one scope.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name), before_(std::getenv(name) ? std::getenv(name) : "") {
    setenv(name, value, 1);
  }
  ~Environment() { before_.empty() ? unsetenv(name_) : setenv(name_, before_.c_str(), 1); }
  Environment(const Environment&) = delete;

 private:
  const char* name_;
  std::string before_;
};

TEST_CASE("a device or a driver that is too old is refused with what is needed") {
  {
    const Environment old("MOE_EMULATOR_CAPABILITY", "75");
    CHECK_THROWS_WITH(make_queue(0), Catch::Contains("compute capability 7.5") && Catch::Contains("8.0 or newer"));
    CHECK_THROWS_AS(choose_device("cuda", "auto", {}), DeviceError);
    const DeviceChoice instead = choose_device("auto", "auto", {});
    CHECK(instead.device == Device::cpu);
    CHECK_THAT(instead.notice, Catch::Contains("8.0 or newer") && Catch::Contains("computing on the CPU"));
  }
  const Environment old("MOE_EMULATOR_DRIVER", "12020");
  CHECK(device_count() == 0);
  CHECK_THAT(why_no_device(), Catch::Contains("CUDA up to 12.2") && Catch::Contains("for CUDA 13.0 or newer"));
}

}  // namespace moe::cuda
