// Every example under configs/routers builds a layer of its router, and every router has one.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "core/config/config_reader.h"
#include "core/config/train_config.h"
#include "core/train/training_state.h"
#include "tests/support/catch.h"

using namespace moe;

TEST_CASE("every router has an example configuration that builds") {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(MOE_SOURCES "/configs/routers")) {
    INFO(entry.path().string());
    TrainConfig config;
    std::ifstream file(entry.path());
    read_config(parse_config({std::istreambuf_iterator<char>(file), {}}, entry.path().string()), config);
    CHECK(config.moe.router.kind() == entry.path().stem().string());
    found.insert(config.moe.router.kind());
    CHECK(summarise(config, 256).parameters > 0);
  }
  for (const Member& router : family<Router>()) {
    INFO(router.name);
    CHECK(found.count(router.name) == 1);
  }
}
