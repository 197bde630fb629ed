#include "core/study/claim.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace moe;

static ClaimSettings on_machine(const std::string& name) {
  return {.renewed = 60, .expires = 600, .machine = name};
}

// Sets the last renewal of a claim to so long ago.
static void let_age(const std::string& file, int64_t seconds) {
  timespec times[2] = {{std::time(nullptr) - seconds, 0}, {std::time(nullptr) - seconds, 0}};
  REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
}

TEST_CASE("a claim belongs to one owner until it is released") {
  const TemporaryFolder folder;
  auto first = Claim::take(folder.path(), "seed1", on_machine("a"));
  REQUIRE(first);
  CHECK(first->is_held());
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("a")));
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("b")));
  CHECK(Claim::take(folder.path(), "seed10", on_machine("b")));
  CHECK_THAT(claim_owner(folder.path(), "seed1", on_machine("b")).value_or(""),
             Catch::Contains("process " + std::to_string(::getpid())));
  first.reset();
  CHECK_FALSE(claim_owner(folder.path(), "seed1", on_machine("b")));
  CHECK(Claim::take(folder.path(), "seed1", on_machine("b")));
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a claim that was not renewed for ten minutes is taken over, and its owner notices") {
  const TemporaryFolder folder;
  auto first = Claim::take(folder.path(), "seed1", on_machine("a"));
  REQUIRE(first);
  let_age(folder / "seed1.claim.0", 590);
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("b")));
  let_age(folder / "seed1.claim.0", 610);
  auto second = Claim::take(folder.path(), "seed1", on_machine("b"));
  REQUIRE(second);
  CHECK_FALSE(first->is_held());
  CHECK(second->is_held());
  first.reset();  // leaves the second claim alone
  CHECK(second->is_held());
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("a")));
  second.reset();
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a claim is renewed while its owner lives") {
  const TemporaryFolder folder;
  ClaimSettings often = on_machine("a");
  often.renewed = 0.01;
  const auto claim = Claim::take(folder.path(), "seed1", often);
  REQUIRE(claim);
  let_age(folder / "seed1.claim.0", 610);
  struct stat state {};
  do {  // until the renewal; the test's time limit ends this
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    REQUIRE(::stat((folder / "seed1.claim.0").c_str(), &state) == 0);
  } while (state.st_mtim.tv_sec < std::time(nullptr) - 300);
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("b")));
}

TEST_CASE("of several processes that take over one claim, one succeeds") {
  const TemporaryFolder folder;
  for (int round = 0; round < 20; ++round) {
    const auto stale = Claim::take(folder.path(), "seed1", on_machine("a"));
    REQUIRE(stale);
    let_age(folder / "seed1.claim.0", 1000);
    std::array<std::unique_ptr<Claim>, 6> claims;
    std::vector<std::thread> takers;
    std::atomic<bool> begins = false;
    for (auto& claim : claims) {
      takers.emplace_back([&] {
        while (!begins) std::this_thread::yield();
        claim = Claim::take(folder.path(), "seed1", on_machine("b"));
      });
    }
    begins = true;
    for (std::thread& taker : takers) taker.join();
    CHECK(std::count_if(claims.begin(), claims.end(), [](const auto& claim) { return claim != nullptr; }) == 1);
    for (auto& claim : claims) claim.reset();
    std::filesystem::remove(folder / "seed1.claim.0");
  }
}

TEST_CASE("the claim of a process that was killed is free at once on its machine, and later on others") {
  const TemporaryFolder folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto claim = Claim::take(folder.path(), "seed1", on_machine("a"));
    const char answer = claim ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char answer = 'n';
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("a")));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK_FALSE(Claim::take(folder.path(), "seed1", on_machine("b")));
  CHECK(Claim::take(folder.path(), "seed1", on_machine("a")));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("the times of claims can be set for tests, and impossible ones are refused") {
  ::setenv("MOE_STUDY_CLAIM_SECONDS", "0.5,3", 1);
  CHECK(ClaimSettings::of_this_machine().renewed == 0.5);
  CHECK(ClaimSettings::of_this_machine().expires == 3);
  for (const char* wrong : {"3,1", "1", "0,1", "x,y"}) {
    ::setenv("MOE_STUDY_CLAIM_SECONDS", wrong, 1);
    CHECK_THROWS_AS(ClaimSettings::of_this_machine(), UsageError);
  }
  ::unsetenv("MOE_STUDY_CLAIM_SECONDS");
}
